"use strict";
// A press on a column's head sorts the rows by it, numbers as numbers; a second press turns the order round.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].textContent.trim();
      const compare = (a, b) => {
        const [x, y] = [parseFloat(a), parseFloat(b)];
        if (!Number.isNaN(x) && !Number.isNaN(y) && x !== y) return x - y;
        return a.localeCompare(b, "en", { numeric: true });
      };
      const rows = [...table.tBodies[0].rows].sort((a, b) => (down ? compare(key(b), key(a)) : compare(key(a), key(b))));
      table.tBodies[0].append(...rows);
    });
  });
}

// Of pictures for one choice each, such as a sample, only the chosen one is shown.
for (const figures of document.querySelectorAll(".figures")) {
  const choices = [...figures.querySelectorAll("figure[data-choice]")];
  if (choices.length < 2) continue;
  const label = document.createElement("label");
  const select = document.createElement("select");
  label.append("Show ", select);
  choices.forEach((figure, i) => select.append(new Option(figure.dataset.choice, i)));
  const show = () => choices.forEach((figure, i) => { figure.hidden = i !== Number(select.value); });
  select.addEventListener("change", show);
  figures.prepend(label);
  show();
}

"""Tolerances counted in roundings, where no radius is derived: each is half an ulp, so k on either side are k ulps."""


def ulps(count: float) -> float:
    """`count` ulps as a relative tolerance. Beside it `pytest.approx` needs `abs=0`, else it forgives 1e-12 too."""
    return count * 2.0**-52

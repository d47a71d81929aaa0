"""What is known: the data set (`reference.datasets`) and every published figure (`reference.published`)."""

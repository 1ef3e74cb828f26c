"""One adapter a public data set."""

"""TF Serving's API: the embedded server and the client. Knows models only by their signatures."""

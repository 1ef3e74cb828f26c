"""The shop's data: what comes in, checked, and what is learned from. No TensorFlow here."""

"""A batch filtered to a training set: what stays, what is dropped and why, and no sound twice."""

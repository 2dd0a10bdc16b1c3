"""Arrays in, numbers out: lists, probabilities, intervals, slices, exact top-k."""

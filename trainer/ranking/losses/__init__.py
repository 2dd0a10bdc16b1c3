"""What the scores of a ranking task are judged by in training, one file each."""

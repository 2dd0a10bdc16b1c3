"""The networks between the embeddings of a pair and the heads of the tasks, one file each."""

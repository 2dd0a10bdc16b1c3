"""The second stage over the candidates of a retrieval run: lists of candidates, their features and the list ranker."""

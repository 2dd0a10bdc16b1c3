"""Describes data: raw tables, the dataset, its drift, and the report."""

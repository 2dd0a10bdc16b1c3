"""The data report: one HTML file without outside parts."""

"""What a positive is compared with: sources of negatives."""

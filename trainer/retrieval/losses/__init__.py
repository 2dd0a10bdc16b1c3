"""What a positive is compared by: each loss with its paper."""

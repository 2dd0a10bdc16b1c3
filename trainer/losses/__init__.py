"""What a positive is compared with, and how: each piece small, with its paper."""

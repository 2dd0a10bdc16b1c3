"""The classical recommenders every model is compared with, on the same split and the same evaluation."""

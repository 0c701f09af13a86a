"""Complaint cases, holds and restrictions, and what people are told of them."""

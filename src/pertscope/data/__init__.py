"""Feeding networks: sparse rows, matched controls, fixed random draws."""

"""The safety rules as named data, and the judge that asks all of them."""

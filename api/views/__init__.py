"""What the API answers with: the record, its events and its explanation as JSON.

Others use `answers`.
"""

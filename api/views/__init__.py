"""What the API answers with: the record, its events and its explanation as JSON, and findings.

Others use `answers` and `findings`.
"""

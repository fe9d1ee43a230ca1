"""LangGraph's protocol under `/lg`, for Studio, the SDKs and chat pages, over the server's runs.

There is no second way to execute, and no second store: what is told is a projection of the record.

Others use `routes.lg_routes`.
"""

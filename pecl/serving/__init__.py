"""A server of embeddings and of search: OpenAI's interface over a bank of adapters, and a page.

Needs the extra `serve`. `server.make_app` is the application, `server.serve` runs it.
"""

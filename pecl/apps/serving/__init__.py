"""HTTP server for embeddings (OpenAI's interface over a bank of adapters) and for search, with a web page.

Needs the extra `serve`. `server.make_app` is the application, `server.serve` runs it.
"""

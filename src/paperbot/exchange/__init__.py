"""The Binance Spot dialect, served: market data over HTTP and WebSocket from a recording."""

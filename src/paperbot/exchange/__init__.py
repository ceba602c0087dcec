"""A local server that speaks Binance Spot's API and serves recorded market data over HTTP and WebSocket."""

#!/usr/bin/env python3
"""Speaks enough of llama-server's command line and API for a test of what starts it."""
import argparse
import http.server
import json

parser = argparse.ArgumentParser()
parser.add_argument("-m", "--model", required=True)
parser.add_argument("--host", required=True)
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--api-key")
parser.add_argument("--api-key-file")
known, _ = parser.parse_known_args()
key = known.api_key or open(known.api_key_file).read().strip()


class Handler(http.server.BaseHTTPRequestHandler):
    def reply(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply(200, "application/json", b'{"status":"ok"}')

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("Authorization") != f"Bearer {key}":
            return self.reply(401, "application/json", b'{"error":{"code":"invalid_api_key"}}')
        text = "stub heard: " + body["messages"][-1]["content"]
        chunks = [{"choices": [{"delta": {"content": word}}]} for word in text.partition(": ")]
        chunks.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        self.reply(200, "text/event-stream", events.encode())

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer((known.host, known.port), Handler).serve_forever()

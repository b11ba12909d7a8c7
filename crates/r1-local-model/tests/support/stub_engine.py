#!/usr/bin/env python3
"""Stands in for an engine: answers GET /health on --socket or --port.

How it behaves stands in MODEL.behaviour: comma-separated words, one per start, the last one for all
further starts. Each start is noted in MODEL.starts, and MODEL.alive is locked while it lives.
"""
import fcntl, http.server, json, os, signal, socketserver, sys, threading

arguments = sys.argv[1:]


def option(name):
    return arguments[arguments.index(name) + 1] if name in arguments else None


model = option("--model")
starts = model + ".starts"
earlier = len(open(starts).readlines()) if os.path.exists(starts) else 0
behaviours = open(model + ".behaviour").read().strip().split(",")
behaviour = behaviours[min(earlier, len(behaviours) - 1)]

alive = open(model + ".alive", "w")
fcntl.flock(alive, fcntl.LOCK_EX)

if behaviour == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    def end_with_stdin():
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=end_with_stdin, daemon=True).start()

key_file = option("--api-key-file")
with open(starts, "a") as file:
    note = {
        "pid": os.getpid(),
        "arguments": arguments,
        "secret": os.environ.get("STUB_API_KEY"),
        "key": open(key_file).read().strip() if key_file else None,
    }
    file.write(json.dumps(note) + "\n")

if behaviour == "exit":
    print("x" * 5000, file=sys.stderr)
    print("the stub does not like this model", file=sys.stderr, flush=True)
    os._exit(3)
if behaviour == "mute":
    signal.pause()


socket = option("--socket")
body = b'{"status":"ok"}' * 10000 if socket else b""


class Handler(http.server.BaseHTTPRequestHandler):
    # One engine keeps connections alive, the other closes them.
    protocol_version = "HTTP/1.1" if socket else "HTTP/1.0"

    def do_GET(self):
        ready = behaviour != "loading" or os.path.exists(model + ".go")
        self.send_response(200 if ready and self.path == "/health" else 503)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "someone"

    def log_message(self, *_):
        pass


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


server = UnixServer(socket, Handler) if socket else http.server.ThreadingHTTPServer(("127.0.0.1", int(option("--port"))), Handler)
server.serve_forever()

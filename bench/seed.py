#!/usr/bin/env python3
"""Measures the walk-through's figures on this machine and prints them as a Markdown table.

Start with a release build: `cargo build --release && python3 bench/seed.py`. Needs the default local
model (`gpt-r1 model pull`) and nothing but Python's standard library. Times are medians with their
range; they are this machine's, in this hour.
"""
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

BINARY = "target/release/gpt-r1"
PROMPTS = {
    "explanation, 5 paragraphs": "Write a detailed explanation about artificial intelligence in exactly 5 paragraphs",
    "quantum computing, 3 paragraphs": "Explain quantum computing in exactly 3 short paragraphs",
    "story, 4 paragraphs": "Write a story about a robot in exactly 4 paragraphs",
    "essay, 1000 words": "Write a detailed 1000-word essay about the future of technology",
}
ROUNDS = int(os.environ.get("ROUNDS", "10"))
SCRIPT_RUNS = int(os.environ.get("SCRIPT_RUNS", "100"))
SCRIPT = "crates/r1-server/tests/it/seed/streaming_test.sh"


class Server:
    """A server of its own: data directory, ports, local model on or off."""

    def __init__(self, local_model=True):
        self.dir = tempfile.TemporaryDirectory()
        environment = dict(os.environ, GPT_R1__LIMITS__ENABLED="false", GPT_R1__LOG__LEVEL="error",
                           GPT_R1__LOCAL_SERVERS__LOOK="off")
        if not local_model:
            environment |= {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_MODEL": "none"}
        command = [BINARY, "serve", "--data-dir", self.dir.name, "--api-addr", "127.0.0.1:0", "--web-addr", "127.0.0.1:0"]
        self.started = time.perf_counter()
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if found := re.search(r"API\s+http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break

    def call(self, method, path, body=None, token=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        connection.request(method, "/api/v1" + path, json.dumps(body) if body is not None else None, headers)
        return connection.getresponse()

    def read(self, *args):
        return json.loads(self.call(*args).read() or "null")

    def user(self):
        name = {"username": "demo_user", "password": "demo123456"}
        self.read("POST", "/auth/register", name | {"email": "demo@example.com"})
        return self.read("POST", "/auth/login", name)["access_token"]

    def until_ready(self):
        while self.read("GET", "/health")["providers"][0]["status"] != "ready":
            time.sleep(0.01)

    def memory(self):
        """Resident memory of the server, and of the model's process, in MB."""
        def resident(pid):
            with open(f"/proc/{pid}/status") as status:
                return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024
        children = []
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{task}/children") as listed:
                children += listed.read().split()
        return resident(self.process.pid), sum(map(resident, children))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.dir.cleanup()


def ask(server, token, prompt):
    """One answer: seconds to the first chunk, the gaps between chunks, seconds to the end."""
    conversation = server.read("POST", "/conversations", {"title": "t"}, token)["id"]
    begun = time.perf_counter()
    stream = server.call("POST", "/chat/stream", {"message": prompt, "conversation_id": conversation}, token)
    arrivals, seqs, kinds, text = [], [], [], ""
    for line in stream:
        now = time.perf_counter()
        if line.startswith(b"id: "):
            seqs.append(int(line.rsplit(b".", 1)[1]))
        if line.startswith(b"data: "):
            event = json.loads(line[6:])
            kinds.append(event["type"])
            if event["type"] == "chunk":
                arrivals.append(now)
                text += event["content"]
    assert seqs == list(range(1, len(seqs) + 1)), "every event once and in order"
    assert kinds[0] == "start" and kinds[-1] == "end", kinds[-1]
    stored = server.read("GET", f"/conversations/{conversation}/messages", None, token)["messages"][1]["content"]
    assert stored == text, "what was shown is stored"
    gaps = [b - a for a, b in zip(arrivals, arrivals[1:])]
    return arrivals[0] - begun, gaps, time.perf_counter() - begun, len(arrivals)


def spread(values, unit=1000, digits=0):
    return f"{statistics.median(values) * unit:.{digits}f} ({min(values) * unit:.{digits}f} to {max(values) * unit:.{digits}f})"


def main():
    print(f"| what | figure |\n|---|---|")
    starts = []
    for _ in range(ROUNDS):
        server = Server(local_model=False)
        assert server.call("GET", "/health").status == 200
        starts.append(time.perf_counter() - server.started)
        idle = server.memory()[0]
        server.stop()
    print(f"| start to the first 200 of `GET /api/v1/health`, empty data directory, ms | {spread(starts)} |")
    print(f"| memory of the server, just started, MB | {idle:.1f} |")

    server = Server()
    token = server.user()
    server.until_ready()
    print(f"| start until the local model is ready, ms | {(time.perf_counter() - server.started) * 1000:.0f} |")
    for name, prompt in PROMPTS.items():
        answers = [ask(server, token, prompt) for _ in range(ROUNDS)]
        gaps = sorted(gap for answer in answers for gap in answer[1])
        print(f"| {name}: first chunk, ms | {spread([answer[0] for answer in answers])} |")
        print(f"| {name}: gap between chunks, ms, p50 / p99 / max | "
              f"{gaps[len(gaps) // 2] * 1000:.1f} / {gaps[len(gaps) * 99 // 100] * 1000:.1f} / {gaps[-1] * 1000:.1f} |")
        print(f"| {name}: whole answer, s | {spread([answer[2] for answer in answers], 1, 1)}, "
              f"{statistics.median([answer[3] for answer in answers]):.0f} chunks |")
        sys.stdout.flush()

    with open(SCRIPT) as source:
        script = source.read().replace("http://localhost:8000", f"http://127.0.0.1:{server.port}")
    memory = []
    for _ in range(SCRIPT_RUNS):
        subprocess.run(["bash", "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        memory.append(server.memory())
    tenth = max(len(memory) // 10, 1)
    first, last = ([statistics.mean(run[i] for run in part) for i in (0, 1)] for part in (memory[:tenth], memory[-tenth:]))
    print(f"| memory over {SCRIPT_RUNS} runs of the script, server, MB: first tenth, last tenth, highest | "
          f"{first[0]:.1f}, {last[0]:.1f}, {max(run[0] for run in memory):.1f} |")
    print(f"| the same, model's process, MB | {first[1]:.0f}, {last[1]:.0f}, {max(run[1] for run in memory):.0f} |")
    time.sleep(5)
    print(f"| memory of the server, idle afterwards, MB | {server.memory()[0]:.1f} |")
    server.stop()


if __name__ == "__main__":
    main()

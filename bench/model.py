#!/usr/bin/env python3
"""Measures the local model beside llama.cpp's own server (`make bench-model`), as a Markdown table.

Both answer the same questions to the same file on the same number of threads, over HTTP, in turns; each
with its defaults for what keeps prompts warm. Ours is `gpt-r1 serve` as it is: signed in, every word stored
before it is shown. Theirs stores nothing. Sampling is the same; so is the prompt, token for token, which is
checked. Needs a release build, the default model (`gpt-r1 model pull`) and, the first time, what
llama_cpp.py needs. THREADS="1 2" and ROUNDS=5 are the defaults; MODEL=/path/to/file.gguf takes another file.
"""
import http.client
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import llama_cpp
import seed

ROUNDS = int(os.environ.get("ROUNDS", "5"))
THREADS = os.environ.get("THREADS", "1 2").split()
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gpt-r1"
MODEL = os.environ.get("MODEL", str(CACHE / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"))
USERS = 8
TOKENS = 128
# What the server has when nothing else is asked for.
SAMPLING = {"temperature": 0.3, "top_k": 40, "top_p": 0.9, "min_p": 0, "repeat_penalty": 1.1, "repeat_last_n": 256}
TEXT = ("The quick brown fox jumps over the lazy dog near the old river bank while seven clever engineers "
        "discuss how to build a streaming chat server. ")


class Ours:
    """`gpt-r1 serve` with its local model."""
    name = "gpt-r1"

    def __init__(self, threads):
        os.environ |= {"GPT_R1__LOCAL_MODEL__THREADS": threads, "GPT_R1__LOCAL_MODEL__PATH": MODEL}
        self.server = seed.Server()
        self.pid = self.server.process.pid
        self.token = self.server.user()
        self.server.until_ready()

    def chat(self):
        return Chat(self)

    def ask(self, chat, question):
        conversation = chat.state or self.server.read("POST", "/conversations", {"title": "t"}, self.token)["id"]
        chat.state = conversation
        body = {"message": question, "conversation_id": conversation, "max_tokens": TOKENS}
        answer = Answer()
        response = self.server.call("POST", "/chat/stream", body, self.token)
        assert response.status == 200, response.read()
        for event in events(response):
            if event["type"] == "chunk":
                answer.piece(event["content"])
            elif event["type"] == "end":
                return answer.end(event["usage"])
        raise AssertionError("an answer without its end")

    def stop(self):
        self.server.stop()


class Theirs:
    """llama.cpp's server."""
    name = "llama.cpp"

    def __init__(self, threads):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.log = tempfile.TemporaryFile("w+")
        # A slot per user, each as long as ours may become here; the rest is its default.
        command = [llama_cpp.server(), "-m", MODEL, "--host", "127.0.0.1", "--port", str(self.port), "--threads", threads,
                   "--threads-batch", threads, "--parallel", str(USERS), "--ctx-size", str(USERS * 2048)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.pid = self.process.pid
        while self.process.poll() is None and not self.healthy():
            time.sleep(0.05)
        self.log.seek(0)
        said = self.log.read()
        assert self.process.poll() is None, said
        info = re.search(r"system_info:.*", said)
        self.info = info[0] if info else "says nothing of its build"

    def healthy(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port)
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def chat(self):
        return Chat(self)

    def ask(self, chat, question):
        chat.state = (chat.state or []) + [{"role": "user", "content": question}]
        body = {"messages": chat.state, "max_tokens": TOKENS, "stream": True,
                "stream_options": {"include_usage": True}} | SAMPLING
        answer, usage = Answer(), None
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200, response.read()
        for event in events(response):
            for choice in event["choices"]:
                answer.piece(choice["delta"].get("content"))
            usage = event.get("usage") or usage
        chat.state.append({"role": "assistant", "content": answer.text})
        return answer.end(usage)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


class Chat:
    """A conversation with one of the two."""

    def __init__(self, system):
        self.system, self.state = system, None

    def ask(self, question):
        return self.system.ask(self, question)


class Answer:
    """What came, and when."""

    def __init__(self):
        self.asked, self.text, self.arrivals = time.perf_counter(), "", []

    def piece(self, text):
        if text:
            self.text += text
            self.arrivals.append(time.perf_counter())

    def end(self, usage):
        self.first = self.arrivals[0] - self.asked
        self.ended = self.arrivals[-1]
        self.prompt, self.tokens = usage["prompt_tokens"], usage["completion_tokens"]
        assert self.tokens >= TOKENS / 2, f"an answer of {self.tokens} tokens is too short to measure"
        self.rate = (self.tokens - 1) / (self.ended - self.arrivals[0])
        return self


def events(response):
    for line in response:
        if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
            yield json.loads(line[6:])


def cpu(pid):
    """Seconds of processor time of a process and its children."""
    spent, tasks = 0.0, f"/proc/{pid}/task"
    for task in os.listdir(tasks):
        spent += int(open(f"{tasks}/{task}/schedstat").read().split()[0]) / 1e9
        spent += sum(map(cpu, open(f"{tasks}/{task}/children").read().split()))
    return spent


def machine():
    """Seconds of processor time of everybody (interrupts aside)."""
    fields = open("/proc/stat").readline().split()
    return sum(int(fields[index]) for index in (1, 2, 3, 8)) / os.sysconf("SC_CLK_TCK")


def together(system, number):
    """All users ask at once. Their answers, and the seconds until the last one's end."""
    answers, begun = [None] * USERS, time.perf_counter()

    def one(user):
        answers[user] = system.chat().ask(essay(number * USERS + user))
    threads = [threading.Thread(target=one, args=(user,)) for user in range(USERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answers), "an answer failed"
    return answers, max(answer.ended for answer in answers) - begun


def essay(number):
    # What differs is at the beginning, so that nothing of the question is warm.
    return f"Number {number}: write a detailed 1000-word essay about the future of technology."


def report(number):
    return f"Report {number}. {TEXT * 17}Write a detailed 1000-word essay about this."


def measure(system, number):
    """One round of one system: what, and how much; the prompts' lengths."""
    short = system.chat().ask(essay(number))
    chat = system.chat()
    long = chat.ask(report(number))
    again = chat.ask("Now write another detailed 1000-word essay about the river.")
    before = cpu(system.pid)
    answers, took = together(system, number + 1)
    spent = cpu(system.pid) - before
    tokens, firsts = sum(answer.tokens for answer in answers), [answer.first for answer in answers]
    figures = {
        f"first token, question of {short.prompt} tokens, ms": short.first * 1e3,
        f"first token, question of {long.prompt} tokens, ms": long.first * 1e3,
        "first token, follow-up on that, ms": again.first * 1e3,
        "tokens/s, 1 user": short.rate,
        f"tokens/s, 1 user, after {long.prompt} tokens": long.rate,
        f"tokens/s, {USERS} users, in all": tokens / took,
        f"first token, {USERS} users, median, ms": statistics.median(firsts) * 1e3,
        f"first token, {USERS} users, last, ms": max(firsts) * 1e3,
        f"CPU per token, {USERS} users, ms": spent * 1e3 / tokens,
    }
    return figures, (short.prompt, long.prompt)


def spread(values):
    digits = 1 if statistics.median(values) < 100 else 0
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main():
    rows, infos, foreign = [], set(), []
    for threads in THREADS:
        systems = [Ours(threads), Theirs(threads)]
        infos.add(systems[1].info)
        for number, system in enumerate(systems):
            # Whatever is made at first use is not measured.
            system.chat().ask(essay(900 + number))
        rounds = []
        for number in range(ROUNDS):
            seen, prompts = {}, {}
            begun, busy, ours = time.perf_counter(), machine(), [cpu(system.pid) for system in systems]
            own = time.process_time()
            # Whoever comes first has the quieter or the busier machine: in turns. Three digits each time: as
            # many tokens.
            for system in systems if number % 2 == 0 else systems[::-1]:
                seen[system.name], prompts[system.name] = measure(system, 100 + 10 * number)
            assert len(set(prompts.values())) == 1, f"not the same prompt: {prompts}"
            rounds.append(seen)
            ours = sum(cpu(system.pid) for system in systems) - sum(ours) + time.process_time() - own
            foreign.append(max(machine() - busy - ours, 0) / (time.perf_counter() - begun) / os.cpu_count())
            print(f"{threads} threads, round {number + 1} of {ROUNDS}", file=sys.stderr)
        for what in rounds[0]["gpt-r1"]:
            our, their = ([seen[name][what] for seen in rounds] for name in ("gpt-r1", "llama.cpp"))
            # More is better of a rate, less of a time.
            ratios = [a / b if what.startswith("tokens/s") else b / a for a, b in zip(our, their)]
            met = "yes" if statistics.median(ratios) >= 1 else "no"
            rows.append(f"| {what} | {threads} | {spread(our)} | {spread(their)} | {statistics.median(ratios):.2f} × | {met} |")
        for system in systems:
            system.stop()
    print(f"{pathlib.Path(MODEL).name}, {ROUNDS} rounds, {TOKENS} tokens an answer; "
          f"others had {statistics.median(foreign) * 100:.0f} % of the machine.")
    for info in infos:
        print(f"llama.cpp: {info}")
    if statistics.median(foreign) > 0.1:
        print("\n**Provisional:** the machine was loaded.")
    flags = open("/proc/cpuinfo").read()
    if "avx512f" in flags and not any("AVX512 = 1" in info for info in infos):
        print("\n**Unfair:** this processor has AVX-512, and llama.cpp was built without it.")
    print("\n| what | threads | gpt-r1 | llama.cpp | times as good | goal: 1.0 × |\n|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()

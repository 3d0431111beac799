#!/usr/bin/python3
"""tests/property/openapi.py -- a stranger with nothing but /openapi.json: every call with the examples of the document, and then calls with
random keys, options, headers and bodies, made from its schemas and against them. Whatever comes back must be promised there: the status, the
headers, the media type, and a body that fits the schema, as another implementation of JSON Schema than ours judges it.

    tests/property/openapi.py [--bin build/perigee] [--requests 2000] [--seed 1]

Hypothesis makes the calls, and the smallest one that fails where one does. One line a part, `openapi: PART ok`; exit 1 when one failed.
Debian: python3-hypothesis, python3-jsonschema."""

import argparse
import collections
import http.client
import json
import os
import subprocess
import sys
import tempfile
import traceback
import urllib.parse

import hypothesis
import hypothesis.configuration
import jsonschema
from hypothesis import strategies as st

MODELS = "tests/support/models"
LISTED = ("ETag", "Age", "Cache-Control", "Cache-Status", "Cache-Groups", "Cache-Group-Invalidation", "Location", "Retry-After", "Preference-Applied",
          "WWW-Authenticate", "Accept-Patch")


class Gateway:
    def __init__(self, binary, models):
        self.log = tempfile.TemporaryFile()
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PERIGEE_")}
        self.process = subprocess.Popen(
            [binary, "serve", models, "--listen", "127.0.0.1:0", "--admin", "off", "--workers", "2", "--log", "error"],
            stdout=subprocess.PIPE, stderr=self.log, text=True, env=plain)
        ready = self.process.stdout.readline()
        self.port = int(ready.split("listen=127.0.0.1:")[1].split()[0])
        self.connection = None

    def call(self, method, target, headers, body):
        if not self.connection:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            self.connection.request(method, target, body, headers)
            response = self.connection.getresponse()
            answer = response.status, response.headers, response.read()
        except (http.client.HTTPException, OSError):
            self.connection.close()
            self.connection = None
            raise
        if response.will_close:
            self.connection.close()
            self.connection = None
        return answer

    def stop(self):
        """Its exit code, and what it has said of errors."""
        self.process.terminate()
        code = self.process.wait(30)
        self.log.seek(0)
        return code, self.log.read().decode(errors="replace")


class Document:
    """The description, and how to find what it says."""

    def __init__(self, text):
        self.root = json.loads(text)
        jsonschema.Draft202012Validator.check_schema({"$defs": self.root["components"]["schemas"]})
        self.validators = {}
        self.calls = []
        for path, item in self.root["paths"].items():
            for method in ("get", "head", "put", "post", "patch", "delete"):
                if method in item:
                    shared = [self.at(one) for one in item.get("parameters", [])]
                    own = [self.at(one) for one in item[method].get("parameters", [])]
                    named = {(one["in"], one["name"]): one for one in shared + own}
                    self.calls.append(Call(path, method, item[method], list(named.values())))

    def at(self, one):
        while "$ref" in one:
            target = self.root
            for step in one["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            one = target
        return one

    def fault(self, schema, value):
        """Why the value does not fit, or None. References lead into the document, whose components stand beside the schema."""
        name = json.dumps(schema, sort_keys=True)
        if name not in self.validators:
            self.validators[name] = jsonschema.Draft202012Validator({**schema, "components": self.root["components"]})
        error = jsonschema.exceptions.best_match(self.validators[name].iter_errors(value))
        return error and f"{error.json_path}: {error.message[:300]}"


Call = collections.namedtuple("Call", "path method promise parameters")
Request = collections.namedtuple("Request", "call target headers body")


# -- judging --


def without_required(schema, document):
    """`_fields` leaves out what it does not name, as its description says."""
    one = dict(document.at(schema))
    one.pop("required", None)
    return one


def judge(document, request, answer):
    """Raises unless the document promises this answer to this call."""
    status, headers, body = answer
    call = request.call
    where = f"{call.method} {request.target} {request.headers} {request.body!r}: {status} {body[:500]!r}"
    assert status != 500, where
    promise = call.promise["responses"].get(str(status))
    assert promise, f"not promised: {where}"
    promise = document.at(promise)
    for name in LISTED:
        if name not in headers:
            continue
        told = promise.get("headers", {}).get(name)
        assert told, f"comes with {name}: {where}"
        header = document.at(told or document.root["components"]["headers"][name])
        value = headers[name]
        why = document.fault(header["schema"], int(value) if header["schema"]["type"] == "integer" else value)
        assert not why, f"{name}: {why}: {where}"
    if call.method == "head" or status in (204, 304):
        assert body == b"", f"has a body: {where}"
        return
    if not body:
        assert "content" not in promise or call.method in ("put", "patch"), f"has no body: {where}"
        return
    if status == 201 and "content" not in promise:
        promise = document.at(call.promise["responses"]["200"])
    content = promise.get("content", {}).get(headers["Content-Type"])
    assert content is not None, f"of type {headers['Content-Type']}: {where}"
    schema = content["schema"]
    if status == 200 and "_fields=" in request.target and "$ref" in schema:
        schema = without_required(schema, document)
    why = document.fault(schema, json.loads(body))
    assert not why, f"{why}: {where}"


# -- making calls --

characters = st.characters(blacklist_categories=["Cs"])
texts = st.one_of(st.sampled_from(["a", "b", "", "here", "none", "bad", "1", "0", "-1", "null", "1e9", "é", "../a", "a;x", "%00"]), st.text(characters, max_size=20))
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)), max_leaves=10)
PLAIN = {
    "null": st.none(), "boolean": st.booleans(), "string": texts, "integer": st.one_of(st.integers(-3, 30), st.integers(-2 ** 70, 2 ** 70)),
    "number": st.one_of(st.integers(-3, 30), st.floats(allow_nan=False, allow_infinity=False)),
    "object": st.dictionaries(texts, anything, max_size=3), "any": anything,
}
header_texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)


def values(document, schema, depth=0):
    """What fits the schema, nearly always."""
    schema = document.at(schema)
    choices = [st.sampled_from(schema["examples"])] if schema.get("examples") else []
    for choice in ("oneOf", "anyOf"):
        choices += [values(document, one, depth + 1) for one in schema.get(choice, [])]
    if "const" in schema:
        choices.append(st.just(schema["const"]))
    if "enum" in schema:
        choices.append(st.sampled_from(schema["enum"]))
    if choices:
        return st.one_of(choices)
    kinds = schema.get("type", "any")
    return st.one_of([of_type(document, schema, kind, depth) for kind in ([kinds] if isinstance(kinds, str) else kinds)])


def of_type(document, schema, kind, depth):
    if kind == "object" and "properties" in schema:
        if depth > 4:
            return st.just({})
        members = {name: values(document, one, depth + 1) for name, one in schema["properties"].items() if not one.get("readOnly")}
        required = {name: members.pop(name) for name in schema.get("required", []) if name in members}
        return st.fixed_dictionaries(required, optional=members)
    if kind == "array":
        return st.lists(values(document, schema.get("items", {}), depth + 1), max_size=min(schema.get("maxItems", 4), 20))
    if kind == "string" and "pattern" in schema:
        return st.sampled_from(["90s", "1.5m", "eu"])
    return PLAIN[kind]


def as_text(value):
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def often(draw, percent):
    return draw(st.integers(1, 100)) <= percent


def draw_parameter(draw, document, parameter):
    schema = parameter["schema"]
    if "example" in parameter and often(draw, 40):
        return as_text(parameter["example"])
    if often(draw, 10):
        return draw(texts)
    return as_text(draw(values(document, schema)))


def draw_parameters(draw, document, call):
    path, query, headers = call.path, [], {}
    for parameter in call.parameters:
        where, name = parameter["in"], parameter["name"]
        if not often(draw, 97 if parameter.get("required") else 25):
            if where != "path":
                continue
        if where == "header":
            headers[name] = draw(st.one_of(st.just(str(parameter.get("example", "*"))), st.sampled_from(["*", '"x"', 'W/"x", "y"', "no-cache"]), header_texts)).strip()
            continue
        text = draw_parameter(draw, document, parameter)
        if where == "path":
            path = path.replace("{" + name + "}", urllib.parse.quote(text or "-", safe=""))
        else:
            query.append((name, text))
    if often(draw, 3):
        query.append((draw(texts), draw(texts)))
    return path + ("?" + urllib.parse.urlencode(query) if query else ""), headers


def draw_body(draw, document, call, headers):
    """Bytes or None, and their type in the headers."""
    wanted = call.promise.get("requestBody")
    if not wanted:
        return None
    media = draw(st.sampled_from(sorted(wanted["content"])))
    value = draw(values(document, wanted["content"][media]["schema"])) if often(draw, 80) else draw(anything)
    headers["Content-Type"] = "text/plain" if often(draw, 2) else media
    if media == "application/x-www-form-urlencoded":
        members = value.items() if isinstance(value, dict) else []
        return urllib.parse.urlencode([(name, as_text(one)) for name, one in members]).encode()
    body = json.dumps(value, ensure_ascii=often(draw, 50)).encode()
    return body[:draw(st.integers(0, len(body)))] if often(draw, 5) else body


@st.composite
def requests(draw, document):
    call = draw(st.sampled_from(document.calls))
    target, headers = draw_parameters(draw, document, call)
    return Request(call, target, headers, draw_body(draw, document, call, headers))


def example_of(document, call):
    """The call as the document shows it."""
    path, query, headers = call.path, [], {}
    for parameter in call.parameters:
        if parameter["in"] == "header" or parameter["name"] == "_depth" or "example" not in parameter:
            continue
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", str(parameter["example"]))
        elif parameter.get("required") or not parameter["name"].startswith("_"):
            query.append((parameter["name"], as_text(parameter["example"])))
    body = None
    for media, content in call.promise.get("requestBody", {}).get("content", {}).items():
        if body is None:
            schema = document.at(content["schema"])
            body = json.dumps(content.get("example", (schema.get("examples") or [{}])[0])).encode()
            headers["Content-Type"] = media
    return Request(call, path + ("?" + urllib.parse.urlencode(query) if query else ""), headers, body)


# -- the parts --


def replay(gateway, document):
    """All calls as they are shown, saves first and deletes last, so that there is something to be read."""
    order = ["put", "patch", "post", "get", "head", "delete"]
    good = 0
    for call in sorted(document.calls, key=lambda one: order.index(one.method)):
        request = example_of(document, call)
        answer = gateway.call(call.method.upper(), request.target, request.headers, request.body)
        judge(document, request, answer)
        good += answer[0] < 300
    return f"{len(document.calls)} calls, {good} of them 2xx"


def explore(gateway, document, n, seed):
    statuses = collections.Counter()
    tried = set()

    @hypothesis.seed(seed)
    @hypothesis.settings(max_examples=n, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck), print_blob=False)
    @hypothesis.given(requests(document))
    def one(request):
        answer = gateway.call(request.call.method.upper(), request.target, request.headers, request.body)
        judge(document, request, answer)
        statuses[answer[0]] += 1
        tried.add((request.call.path, request.call.method))

    one()
    assert sum(statuses.values()) >= n / 2, statuses
    assert len(tried) == len(document.calls) or n < 20 * len(document.calls), f"{len(tried)} of {len(document.calls)} calls tried"
    assert any(status < 300 for status in statuses), statuses
    return " ".join(f"{status}:{count}" for status, count in sorted(statuses.items()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default="build/perigee")
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    hypothesis.configuration.set_hypothesis_home_dir(os.path.join(tempfile.gettempdir(), "perigee-hypothesis"))  # and not here
    gateway = Gateway(options.bin, options.models)
    failed = False
    document = Document(gateway.call("GET", "/openapi.json", {}, None)[2])
    for part, run in (
        ("examples", lambda: replay(gateway, document)),
        ("random", lambda: explore(gateway, document, options.requests, options.seed)),
    ):
        try:
            print(f"openapi: {part} ok: {run()}")
        except Exception:
            print(f"openapi: {part} FAILED")
            traceback.print_exc()
            failed = True
    code, log = gateway.stop()
    if code or "Sanitizer" in log:
        print(f"openapi: the gateway FAILED: {code}\n{log[-4000:]}")
        failed = True
    sys.exit(failed)


main()

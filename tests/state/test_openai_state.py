"""Files, conversations, kept answers and images with the `openai` packages, unchanged, against a real relay."""

from __future__ import annotations

import base64
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.live import ROOT, Relay, running
from tests.net.test_live_wire import WIDE

NODE = ROOT / "tests" / "node"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with running(tmp_path_factory.mktemp("home"), env=WIDE) as one:
        yield one


@pytest.fixture
def client(relay: Relay) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=relay.url, api_key=relay.token, max_retries=0) as one:
        yield one


def test_files_go_round(client: openai.OpenAI, tmp_path: Path) -> None:
    data = random.Random(5).randbytes(500_000)
    path = tmp_path / "naïve 日本.bin"
    path.write_bytes(data)
    made = client.files.create(file=path, purpose="user_data")
    assert (made.bytes, made.filename, made.purpose) == (len(data), path.name, "user_data")
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == data
    assert client.files.wait_for_processing(made.id).status == "processed"
    gone = client.files.delete(made.id)
    assert gone.deleted and gone.id == made.id
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id)


def test_files_are_listed_in_pages(client: openai.OpenAI) -> None:
    ids = [client.files.create(file=(f"{n}.txt", b"x"), purpose="batch").id for n in range(5)]
    listed = [f.id for f in client.files.list(limit=2, order="asc", purpose="batch")]
    assert listed == ids
    for one in ids:
        client.files.delete(one)


def test_a_file_may_expire(client: openai.OpenAI) -> None:
    made = client.files.create(
        file=("a.txt", b"x"),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert made.expires_at == made.created_at + 3600


def test_errors_are_the_classes_that_programs_catch(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        client.files.create(file=("a.txt", b"x"), purpose="fun")  # type: ignore[arg-type]  # the test
    assert bad.value.param == "purpose"
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve("conv_x")
    with pytest.raises(openai.NotFoundError) as lost:
        client.responses.create(model="demo", input="x", previous_response_id="resp_x")
    assert lost.value.code == "previous_response_not_found"


def test_a_file_is_used_by_its_id(client: openai.OpenAI) -> None:
    made = client.files.create(file=("report.pdf", b"%PDF-1.7 x"), purpose="user_data")
    content: Any = [
        {"type": "input_file", "file_id": made.id},
        {"type": "input_text", "text": "what is it?"},
    ]
    answer = client.responses.create(model="demo", input=[{"role": "user", "content": content}])
    assert answer.output_text == "I got the file report.pdf. You said: what is it?"
    parts: Any = [{"type": "file", "file": {"file_id": made.id}}, {"type": "text", "text": "and?"}]
    chat = client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": parts}]
    )
    assert chat.choices[0].message.content == "I got the file report.pdf. You said: and?"


def test_a_conversation_with_its_items(client: openai.OpenAI) -> None:
    made = client.conversations.create(
        metadata={"topic": "test"}, items=[{"role": "user", "content": "hello"}]
    )
    assert made.metadata == {"topic": "test"}
    answer = client.responses.create(model="demo", input="first", conversation=made.id)
    assert answer.conversation is not None and answer.conversation.id == made.id
    with client.responses.stream(
        model="demo", input="second", conversation={"id": made.id}
    ) as stream:
        assert stream.get_final_response().output_text == "You said: second"
    items = list(client.conversations.items.list(made.id, order="asc", limit=2))
    texts = [i.content[0].text for i in items if i.type == "message"]  # type: ignore[union-attr]  # texts
    assert texts == ["hello", "first", "You said: first", "second", "You said: second"]
    added = client.conversations.items.create(
        made.id, items=[{"type": "message", "role": "user", "content": "third"}]
    )
    one: Any = client.conversations.items.retrieve(added.data[0].id or "", conversation_id=made.id)
    assert one.content[0].text == "third"
    after = client.conversations.items.delete(one.id, conversation_id=made.id)
    assert after.id == made.id
    updated = client.conversations.update(made.id, metadata={"more": "yes"})
    assert updated.metadata == {"topic": "test", "more": "yes"}
    assert client.conversations.retrieve(made.id).id == made.id
    assert client.conversations.delete(made.id).deleted


def test_a_session_of_an_agent_program(client: openai.OpenAI) -> None:
    """What OpenAIConversationsSession of openai-agents does: add, list, pop, clear."""
    made = client.conversations.create(items=[])
    answer = client.responses.create(model="demo", input="demo:reasoning think")
    replayed: Any = [item.model_dump(exclude_unset=True) for item in answer.output]
    question: Any = {"role": "user", "content": "demo:reasoning think"}
    client.conversations.items.create(made.id, items=[question, *replayed])
    kept: Any = [
        item.model_dump(exclude_unset=True)
        for item in client.conversations.items.list(made.id, order="asc")
    ]
    assert [i["type"] for i in kept] == ["message", "reasoning", "message"]
    again = client.responses.create(model="demo", input=[*kept, {"role": "user", "content": "go"}])
    assert again.output_text == "You said: go"
    last = client.conversations.items.list(made.id, limit=1, order="desc").data[0]
    client.conversations.items.delete(last.id or "", conversation_id=made.id)
    assert len(list(client.conversations.items.list(made.id))) == 2


def test_answers_are_kept(client: openai.OpenAI) -> None:
    first = client.responses.create(model="demo", input="one")
    second = client.responses.create(
        model="demo", input="two", previous_response_id=first.id, store=True
    )
    assert second.previous_response_id == first.id
    assert client.responses.retrieve(second.id).output_text == "You said: two"
    items: Any = list(client.responses.input_items.list(second.id))
    assert items[0].content[0].text == "two"
    client.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(second.id)


def test_images_are_made_and_edited(client: openai.OpenAI) -> None:
    made = client.images.generate(prompt="a fox", model="gpt-image-2", n=2)
    assert made.data is not None and len(made.data) == 2
    picture = base64.b64decode(made.data[0].b64_json or "")
    edited = client.images.edit(image=[("a.png", picture), ("b.png", picture)], prompt="bluer")
    assert edited.data is not None and edited.data[0].b64_json != made.data[0].b64_json
    kinds = [e.type for e in client.images.generate(prompt="x", stream=True)]
    assert kinds == ["image_generation.completed"]


def test_the_asynchronous_client_uploads_too(relay: Relay) -> None:
    import asyncio

    async def run() -> None:
        async with openai.AsyncOpenAI(base_url=relay.url, api_key=relay.token) as client:
            made = await asyncio.gather(
                *(
                    client.files.create(file=(f"{n}.bin", os.urandom(70_000)), purpose="user_data")
                    for n in range(4)
                )
            )
            assert len({one.id for one in made}) == 4
            assert {one.id for one in made} <= {f.id async for f in client.files.list()}

    asyncio.run(run())


@pytest.mark.skipif(
    shutil.which("node") is None or not (NODE / "node_modules" / "openai").is_dir(),
    reason="no node here, or its packages are not installed (build/test.py does that where npm is)",
)
def test_the_node_package_works_unchanged(relay: Relay) -> None:
    done = subprocess.run(
        ["node", str(NODE / "state.mjs")],
        env={"PATH": os.environ["PATH"], "BASE_URL": relay.url, "TOKEN": relay.token},
        cwd=NODE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 checks passed" in done.stdout

"""Defences against upstreams and the way to them, rows U1 to U10."""

from __future__ import annotations

from entry import Defence

CLIENT = "airelays/net/client.py"
DIAL = "airelays/net/dial.py"
EXCHANGE = "airelays/net/exchange.py"
HTTP1 = "airelays/protocol/http1.py"
FAULTS = "airelays/upstream/chatgpt/faults.py"
OAUTH = "airelays/upstream/chatgpt/oauth.py"
PROXY = "airelays/net/proxy.py"
RESPONSE = "airelays/net/response.py"
SSE = "airelays/protocol/sse.py"
STREAMING = "airelays/app/streaming.py"
TRUST = "airelays/net/trust.py"
BAD_ANSWER = ("tests/net/test_client.py::test_malformed_answer_is_refused",)
BAD_HEAD = ("tests/protocol/test_http1.py::test_a_malformed_response_head_is_the_upstreams_fault",)
BAD_CERTIFICATE = "tests/net/test_client.py::test_wrong_certificate_is_refused_with_advice"
CUT_STREAM = "tests/upstream/test_live_hell.py::test_a_stream_cut_anywhere_is_never_an_answer"
STRICT = ("tests/net/test_trust.py::test_context_is_strict_and_made_once",)

UPSTREAM = (
    Defence(
        "U1",
        "a stream without its last event is no answer: streamed",
        "airelays/dialects/stream/events.py",
        "            self._fail(incomplete_stream())\n",
        "            pass\n",
        (
            "tests/upstream/test_live_hell.py::test_a_stream_that_ends_properly_but_too_early_is_no_answer",
        ),
    ),
    Defence(
        "U1",
        "a stream that is passed on is no answer without its last event",
        "airelays/dialects/stream/passed.py",
        '            self._fail(incomplete_stream())\n            return b""\n',
        "            pass\n",
        (
            "tests/dialects/test_passed.py::test_a_cut_at_every_byte_is_an_error_until_the_answer_was_finished",
        ),
    ),
    Defence(
        "U1",
        "a stream without its last event is no answer: whole",
        STREAMING,
        "        if not collector.done:\n            raise\n    finally:\n"
        "        pace.note(request.outcome, request.started_s, answer)\n        answer.abort()\n"
        "    collector.end()\n    if collector.failure is not None:\n        raise collector.failure\n",
        "        pass\n    finally:\n        answer.abort()\n",
        (f"{CUT_STREAM}[chat]", f"{CUT_STREAM}[responses]"),
    ),
    Defence(
        "U1",
        "a cut answer ends typed, its chunks properly",
        "airelays/net/request.py",
        "            last += said\n",
        "            pass\n",
        (f"{CUT_STREAM}[chat stream]",),
    ),
    Defence(
        "U1",
        "before the first byte a failure is a status",
        STREAMING,
        "            raise error\n        self.request.end_stream(out, error)",
        "            pass\n        self.request.end_stream(out, error)",
        ("tests/upstream/test_live_hell.py::test_a_failure_before_the_first_byte_is_a_status",),
    ),
    Defence(
        "U1",
        "a body that ends early is a cut",
        EXCHANGE,
        "            if self._decoder is None and self._remaining < 0 and self._closed_cleanly:\n",
        "            if self._closed_cleanly:\n",
        ("tests/net/test_client.py::test_body_that_ends_early_is_a_cut",),
    ),
    Defence(
        "U2",
        "the head's deadline does not move",
        EXCHANGE,
        "            self._heard = True\n",
        "            self._heard = True\n            self._due_s = self._loop.time() + self._head_s\n",
        ("tests/net/test_client.py::test_dripped_head_does_not_move_its_deadline",),
    ),
    Defence(
        "U2",
        "the gap of a stream",
        EXCHANGE,
        '            text = f"{{}} sent nothing for {self._gap_s:g} s in the middle of its answer"\n',
        "            return\n",
        ("tests/net/test_client.py::test_silence_in_a_body_ends_it",),
    ),
    Defence(
        "U2",
        "connecting has a deadline",
        DIAL,
        "        async with asyncio.timeout_at(deadline_s):\n            if len(addresses) == 1:\n",
        "        async with asyncio.timeout_at(None):\n            if len(addresses) == 1:\n",
        ("tests/net/test_client.py::test_an_address_that_says_nothing_is_given_up_in_time",),
    ),
    Defence(
        "U2",
        "a TLS handshake has a deadline",
        DIAL,
        "        async with asyncio.timeout(tls_s):\n",
        "        async with asyncio.timeout(None):\n",
        ("tests/net/test_client.py::test_mute_handshake_ends_at_its_deadline",),
    ),
    Defence(
        "U2",
        "silence is filled for the client",
        STREAMING,
        "            self._ping()\n            silent_s = 0.0\n",
        "            silent_s = 0.0\n",
        ("tests/net/test_live_wire.py::test_silence_is_filled_with_comments",),
    ),
    Defence(
        "U3",
        "a response head is bounded",
        EXCHANGE,
        " + self._interim_bytes > MAX_HEAD_BYTES:\n",
        " < 0:\n",
        ("tests/net/test_client.py::test_response_head_is_bounded",),
    ),
    Defence(
        "U3",
        "interim answers are counted",
        EXCHANGE,
        "        if head.status == 101 or self._interim > MAX_INFORMATIONAL:\n",
        "        if head.status == 101:\n",
        BAD_ANSWER,
    ),
    Defence(
        "U3",
        "a JSON answer is bounded",
        RESPONSE,
        "            if size > limit_bytes:\n",
        "            if False:\n",
        ("tests/net/test_client.py::test_read_is_bounded",),
    ),
    Defence(
        "U3",
        "a compressed answer is bounded while decoding",
        RESPONSE,
        "    if len(plain) > limit_bytes:\n",
        "    if False:\n",
        ("tests/net/test_client.py::test_compressed_json_is_decoded_within_the_limit",),
    ),
    Defence(
        "U3",
        "an event is bounded: a line",
        SSE,
        "        if self._size + self._data_size > self._max_bytes:\n",
        "        if False:\n",
        ("tests/protocol/test_sse.py::test_a_line_may_be_as_large_as_the_bound",),
    ),
    Defence(
        "U3",
        "an event is bounded: many lines",
        SSE,
        "            if self._data_size > self._max_bytes:\n",
        "            if False:\n",
        ("tests/protocol/test_sse.py::test_many_short_data_lines_cannot_outgrow_the_bound",),
    ),
    Defence(
        "U3",
        "length beside Transfer-Encoding is refused",
        HTTP1,
        '        if length is not None:\n            raise ProtocolFault("both',
        '        if False:\n            raise ProtocolFault("both',
        BAD_HEAD,
    ),
    Defence(
        "U3",
        "two lengths are refused",
        HTTP1,
        "    if len(lengths) > 1:\n",
        "    if False:\n",
        BAD_HEAD,
    ),
    Defence(
        "U3",
        "the status line is read strictly",
        HTTP1,
        "    if _STATUS_LINE.fullmatch(raw, 0, max(line_end, 0)) is None:\n",
        "    if False:\n",
        BAD_HEAD,
    ),
    Defence(
        "U4",
        "no page of an upstream is passed on",
        FAULTS,
        "        except (ValueError, RecursionError):\n            value = None\n",
        "        except (ValueError, RecursionError):\n"
        '            value = {"detail": body.decode("latin-1")}\n',
        ("tests/upstream/test_backend.py::test_html_and_garbage_never_reach_the_client",),
    ),
    Defence(
        "U4",
        "a message is printable and short",
        FAULTS,
        '    cut = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "..."\n',
        "    return text\n    cut = text\n",
        ("tests/upstream/test_backend.py::test_hostile_message_is_made_printable_and_short",),
    ),
    Defence(
        "U4",
        "401 and 403 become 503",
        FAULTS,
        "        if self.status in (401, 402, 403, 407) and self.code not in _POLICY:\n",
        "        if False:\n",
        ("tests/upstream/test_backend.py::test_refusal_is_mapped",),
    ),
    Defence(
        "U4",
        "401 of another server becomes 502",
        "airelays/upstream/compatible/refusal.py",
        "        if self.status in (401, 403, 407):\n",
        "        if False:\n",
        ("tests/upstream/test_live_compatible.py::test_errors_keep_status_and_body_but_never_401",),
    ),
    Defence(
        "U4",
        "429 keeps its wait",
        FAULTS,
        "            retry_after_s=None if codex and used_up else wait_s,\n",
        "",
        (
            "tests/upstream/test_backend.py::test_usage_limit_keeps_the_upstreams_words_and_the_true_reset",
        ),
    ),
    Defence(
        "U5",
        "a kept connection is used for 5 seconds",
        CLIENT,
        "IDLE_S = 5.0\n",
        "IDLE_S = 3600.0\n",
        ("tests/net/test_client.py::test_a_connection_that_was_idle_for_five_seconds_is_closed",),
    ),
    Defence(
        "U5",
        "a connection that is readable is dead",
        CLIENT,
        " < IDLE_S and connection.is_usable():\n",
        " < IDLE_S:\n",
        ("tests/net/test_client.py::test_bytes_on_an_idle_connection_close_it",),
    ),
    Defence(
        "U5",
        "a kept connection that died is replaced once",
        CLIENT,
        "                if not connection.lost_unheard:\n",
        "                if True:\n",
        ("tests/net/test_client.py::test_kept_connection_that_died_is_replaced_without_a_word",),
    ),
    Defence(
        "U6",
        "bytes behind an answer close the connection",
        EXCHANGE,
        "broken = extra or self._closed_cleanly or",
        "broken = self._closed_cleanly or",
        ("tests/net/test_client.py::test_connection_out_of_step_is_not_used_again",),
    ),
    Defence(
        "U6",
        "bytes before a request close the connection",
        EXCHANGE,
        "        elif self._state == _IDLE:\n            # Bytes that nobody asked for: response-queue"
        " poisoning if they were ever matched to a request.\n            self._fail(self._cut())\n",
        "        elif self._state == _IDLE:\n            self._partial += data\n",
        (
            "tests/net/test_client.py::test_bytes_on_an_idle_connection_that_were_read_close_it_at_once",
        ),
    ),
    Defence(
        "U6",
        "an early answer leaves no connection out of step",
        EXCHANGE,
        "            and not self.transport.get_write_buffer_size()\n",
        "",
        (
            "tests/net/test_client.py::test_early_answer_to_a_large_request_does_not_leave_a_connection_out_of_step",
        ),
    ),
    Defence(
        "U7",
        "a redirect of ChatGPT is 502",
        FAULTS,
        "        if self.status < 400:\n",
        "        if False:\n",
        ("tests/upstream/test_backend.py::test_redirect_is_a_502_and_not_followed",),
    ),
    Defence(
        "U7",
        "a redirect of another server is 502",
        "airelays/upstream/compatible/refusal.py",
        "        if self.status < 400:\n",
        "        if False:\n",
        ("tests/upstream/test_live_compatible.py::test_errors_keep_status_and_body_but_never_401",),
    ),
    Defence(
        "U7",
        "a redirect of the issuer is refused",
        OAUTH,
        "        if 300 <= response.status < 400:\n",
        "        if False:\n",
        ("tests/upstream/test_oauth.py::test_redirect_of_the_issuer_is_not_followed",),
    ),
    Defence(
        "U8",
        "a client that leaves ends the request",
        "airelays/net/session.py",
        "    def _client_gone(self) -> None:\n"
        "        if self._task is not None:\n"
        "            self._task.cancel()\n",
        "    def _client_gone(self) -> None:\n        return\n",
        (
            "tests/net/test_live_wire.py::test_a_client_that_leaves_ends_the_request",
            "tests/upstream/test_live_chatgpt.py::test_client_that_leaves_ends_the_upstream_request",
        ),
    ),
    Defence(
        "U8",
        "the upstream's connection goes with the request",
        CLIENT,
        "    except BaseException as fault:\n        connection.abort()\n        _note_step",
        "    except BaseException as fault:\n        _note_step",
        ("tests/net/test_client.py::test_cancelled_request_closes_its_connection",),
    ),
    Defence(
        "U9",
        "certificates are verified",
        TRUST,
        '        context.set_alpn_protocols(["http/1.1"])\n',
        "        context.check_hostname = False\n        context.verify_mode = ssl.CERT_NONE\n",
        (*STRICT, "tests/net/test_client.py::test_unknown_authority_is_refused_with_advice"),
    ),
    Defence(
        "U9",
        "names are verified",
        TRUST,
        '        context.set_alpn_protocols(["http/1.1"])\n',
        "        context.check_hostname = False\n",
        (f"{BAD_CERTIFICATE}[other-name]",),
    ),
    Defence(
        "U9",
        "a common name is no name",
        TRUST,
        "        context.hostname_checks_common_name = False\n",
        "",
        STRICT,
    ),
    Defence(
        "U9",
        "TLS 1.2 or newer",
        TRUST,
        "        context.minimum_version = ssl.TLSVersion.TLSv1_2\n",
        "        context.minimum_version = ssl.TLSVersion.TLSv1\n",
        STRICT,
    ),
    Defence(
        "U9",
        "the server is told which name is meant",
        DIAL,
        "                server_hostname=target.host,\n",
        '                server_hostname="other.test",\n',
        ("tests/net/test_client.py::test_the_server_is_offered_http_1_1_and_told_the_name",),
    ),
    Defence(
        "U9",
        "HTTP/1.1 is agreed on",
        TRUST,
        '        context.set_alpn_protocols(["http/1.1"])\n',
        "",
        ("tests/net/test_client.py::test_the_server_is_offered_http_1_1_and_told_the_name",),
    ),
    Defence(
        "U9",
        "a missing close_notify is a cut",
        EXCHANGE,
        '            self._closed_cleanly = tls is None or tls.read(1) == b""\n',
        "            self._closed_cleanly = True\n",
        ("tests/net/test_client.py::test_body_ended_by_close_needs_a_close_notify",),
    ),
    Defence(
        "U9",
        "plain http goes to near addresses only",
        "airelays/settings/named.py",
        "    if not is_near(host):\n",
        "    if False:\n",
        ("tests/settings/test_config.py::test_plain_http_only_to_near_addresses",),
    ),
    Defence(
        "U10",
        "proxy variables count only when told",
        CLIENT,
        "os.environ if settings.use_env_proxy and not settings.offline else None",
        "os.environ",
        ("tests/net/test_client.py::test_proxy_variables_count_only_when_told",),
    ),
    Defence(
        "U10",
        "loopback is never proxied",
        PROXY,
        "        if not self._env or is_loopback(host) or self._excepted(host, port):\n",
        "        if not self._env or self._excepted(host, port):\n",
        ("tests/net/test_client.py::test_loopback_is_never_proxied",),
    ),
    Defence(
        "U10",
        "HTTP_PROXY of a CGI process is a header",
        PROXY,
        '                if env is None or (variable == "HTTP_PROXY" and "REQUEST_METHOD" in env):\n',
        "                if env is None:\n",
        ("tests/net/test_trust.py::test_proxy_is_chosen",),
    ),
    Defence(
        "U10",
        "https goes through CONNECT, its TLS inside",
        DIAL,
        "    if proxy is None or not tunnel:\n",
        "    if True:\n",
        ("tests/net/test_client.py::test_https_goes_through_connect_with_credentials",),
    ),
)

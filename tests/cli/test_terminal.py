"""Talking at a terminal: the line is edited, recalled and pasted; neither a byte nor a key ends the conversation."""

import time

import pytest

pytest.importorskip("pty", reason="pseudo-terminals are Unix's")

from cli.pseudo_terminal import Terminal

READ = """
from minillama.cli.common.prompt import terminal_reader
read = terminal_reader()
while True:
    try:
        print("got", ascii(read()), flush=True)
    except (EOFError, KeyboardInterrupt) as end:
        raise SystemExit(f"ended by {type(end).__name__}")
"""
CHAT = ["-m", "minillama", "chat", "-m", "stories3M", "--template", "llama-2", "-t", "0", "-q"]


def type_lines(terminal, *lines):
    """Each line when the prompt has been there for a while; what the program got."""
    found = []
    for line in lines:
        terminal.wait_for(b"> ")
        time.sleep(0.3)
        terminal.type(line)
        terminal.wait_for(b"got ")
        found.append(terminal.wait_for(b"\n").decode().strip())
    return found


@pytest.mark.parametrize("kind", ["xterm", "dumb"])
def test_what_every_terminal_can(kind):
    with Terminal("-c", READ, TERM=kind, PYTHONIOENCODING="utf-8:strict") as terminal:
        lines = [b"Hi\r", b"caf\xe9\r", "naïve\r".encode(), b"wron\x7f\x7fite\r", b" /quit \r"]
        expected = ["'Hi'", r"'caf\ufffd'", r"'na\xefve'", "'write'", "' /quit '"]
        assert type_lines(terminal, *lines) == expected
        terminal.wait_for(b"> ")
        terminal.type(b"one\\\r")  # goes on in the next line
        time.sleep(0.3)
        terminal.type(b"two\r")
        terminal.wait_for(rb"'one\ntwo'")
        terminal.wait_for(b"> ")
        terminal.until_keys_are_read()
        terminal.type(b"\x04")
        assert terminal.end() == 1
        assert b"ended by EOFError" in terminal.seen
        assert b"WARNING" not in terminal.seen
        assert (b"\x1b" in terminal.seen) == (kind == "xterm")


def test_a_line_is_edited_recalled_and_pasted():
    with Terminal("-c", READ) as terminal:
        lines = {
            b"trees\x1b[D\x1b[D\x1b[D\x1b[D\x1b[Dlike \r": "'like trees'",  # arrow left
            b"\x1b[A\r": "'like trees'",  # arrow up
            b"\x1b[A\x1b[A !\r": "'like trees !'",
            b"\x1b[200~Translate:\r\nI like trees.\r\n\x1b[201~": None,  # a paste that says so waits for Enter
            b"\r": r"'Translate:\nI like trees.\n'",
            b"Translate:\nI like\nbirds.\n": r"'Translate:\nI like\nbirds.'",  # and one that does not
            b"one\x1b\rtwo\r": r"'one\ntwo'",  # Alt-Enter
        }
        terminal.wait_for(b"> ")
        for keys, expected in lines.items():
            time.sleep(0.3)
            terminal.type(keys)
            if expected is not None:
                terminal.wait_for(b"got ")
                assert terminal.wait_for(b"\n").decode().strip() == expected
                terminal.wait_for(b"> ")


def test_lines_that_were_typed_ahead_are_messages_of_their_own():
    with Terminal("-c", f"import time; time.sleep(0.5)\n{READ}") as terminal:
        terminal.type(b"one\n/reset\n")
        for expected in (b"'one'", b"'/reset'"):
            terminal.wait_for(b"got ")
            assert terminal.wait_for(b"\n").strip() == expected


@pytest.mark.parametrize("keys", [b"\x03", b"lost\x03\x03"])
def test_ctrl_c_empties_the_line_then_leaves(keys):
    with Terminal("-c", READ) as terminal:
        terminal.wait_for(b"> ")
        time.sleep(0.3)
        terminal.type(keys)
        assert terminal.end() == 1
        assert b"ended by KeyboardInterrupt" in terminal.seen


def test_a_conversation():
    """A command, a question that begins with a slash, a mistyped command, and the same word as a message."""
    with Terminal(*CHAT, "-n", "2") as terminal:
        terminal.wait_for(b"stops an answer")
        for typed, shown in ((b"/reset\r", b"a new conversation"), (b"/rest\r", b"did you mean /reset?")):
            terminal.wait_for(b"> ")
            time.sleep(0.3)
            terminal.type(typed)
            terminal.wait_for(shown)
        for typed in (b"/etc/fstab is what?\r", b" /rest\r", b"caf\xe9\r"):
            terminal.wait_for(b"> ")
            time.sleep(0.3)
            terminal.type(typed)
            terminal.wait_for(b"\x1b[?2004l")  # the line is sent
            answer = terminal.wait_for(b"> ")
            terminal.seen = b"> " + terminal.seen
            assert b"error" not in answer
            assert b"command" not in answer
            assert answer.strip(b"\r\n> ")
        time.sleep(0.3)
        terminal.type(b"\x04")
        assert terminal.end() == 0


def test_ctrl_c_stops_the_answer_only():
    with Terminal(*CHAT, "-n", "400", "--ops", "reference") as terminal:
        terminal.wait_for(b"> ")
        time.sleep(0.3)
        terminal.type(b"Hi\r")
        terminal.wait_for(b"\x1b[?2004l")
        terminal.wait_for(b" the ")  # words of the answer, not a code with a space in it
        terminal.type(b"\x03")
        answer = terminal.wait_for(b"stopped")
        assert b"^C" not in answer
        assert answer.rpartition(b"\n")[2].replace(b"\x1b[2m", b"") == b"stopped"
        terminal.wait_for(b"> ")
        time.sleep(0.3)
        terminal.type(b"/quit\r")
        assert terminal.end() == 0
        assert b"Traceback" not in terminal.seen

"""Defences of the files that hold secrets: crashes while saving, links and owners, rows U12 and U13."""

from __future__ import annotations

import ast

from change import always, call, dropped, expression, never, removed, value
from entry import Defence

ACCOUNT = "airelays/host/account.py"
LOCK = "airelays/credentials/lock.py"
OUTSIDE = "airelays/disk/outside.py"
REGULAR = "airelays/disk/regular.py"
SERVICE = "airelays/commands/service/command.py"
STATE = "airelays/state/database.py"
SECRETFILE = "airelays/credentials/secretfile.py"
THEIRS = "airelays/credentials/as_owner.py"
TOKENS = "airelays/upstream/chatgpt/tokens.py"

SECRET_FILES = (
    Defence(
        "U12",
        "a file is replaced whole",
        SECRETFILE,
        "_put",
        call("replace", put="open({it.args[1]}, 'wb').write({within.args.args[1].arg})"),
        (
            "tests/credentials/test_secretfile.py::test_a_file_is_replaced_and_never_changed_in_place",
        ),
    ),
    Defence(
        "U12",
        "bytes are on disk before the name is",
        "airelays/disk/folder.py",
        "stage",
        removed("fsync"),
        (
            "tests/credentials/test_secretfile.py::test_bytes_are_durable_before_the_name_and_the_name_after",
        ),
    ),
    Defence(
        "U12",
        "the name is on disk too",
        SECRETFILE,
        "_put",
        removed("sync_folder"),
        (
            "tests/credentials/test_secretfile.py::test_bytes_are_durable_before_the_name_and_the_name_after",
        ),
    ),
    Defence(
        "U12",
        "a failed write leaves nothing",
        "airelays/disk/folder.py",
        "stage",
        removed("unlink"),
        (
            "tests/credentials/test_secretfile.py::test_a_disk_that_is_full_leaves_the_old_content_and_nothing_else",
        ),
    ),
    Defence(
        "U12",
        "the previous sign-in stays",
        SECRETFILE,
        "_put",
        removed("_keep_backup"),
        ("tests/credentials/test_secretfile.py::test_the_previous_content_can_be_kept",),
    ),
    Defence(
        "U12",
        "leftovers are swept",
        SECRETFILE,
        "sweep_leftovers",
        removed("_remove_quietly"),
        ("tests/credentials/test_secretfile.py::test_old_leftovers_are_swept_and_young_ones_kept",),
    ),
    Defence(
        "U12",
        "a write that a crash cut off is finished",
        TOKENS,
        "Tokens.refresh_now",
        dropped("recover"),
        (
            "tests/upstream/test_tokens.py::test_kill_at_every_step_of_a_refresh_never_loses_a_token_that_reached_the_disk",
        ),
    ),
    Defence(
        "U13",
        "a link is not read",
        SECRETFILE,
        "read_secret",
        dropped("_NOFOLLOW"),
        ("tests/credentials/test_secretfile.py::test_a_symbolic_link_is_not_read",),
    ),
    Defence(
        "U13",
        "only a regular file is read",
        SECRETFILE,
        "_check_trusted",
        never("S_ISREG"),
        (
            "tests/credentials/test_secretfile.py::test_a_pipe_or_a_folder_is_refused_without_waiting",
        ),
    ),
    Defence(
        "U13",
        "a pipe hangs nobody",
        REGULAR,
        "",
        dropped("O_NONBLOCK"),
        (
            "tests/credentials/test_secretfile.py::test_a_pipe_or_a_folder_is_refused_without_waiting",
        ),
    ),
    Defence(
        "U13",
        "a file of somebody else is not read",
        SECRETFILE,
        "_check_trusted",
        never("st_uid"),
        (
            "tests/credentials/test_secretfile.py::test_a_file_of_somebody_else_is_refused_and_not_to_be_made_ones_own",
        ),
    ),
    Defence(
        "U13",
        "root reads a file of another user only in that user's own folder",
        SECRETFILE,
        "_is_owned_like_its_folder",
        expression(ast.BoolOp, "st_uid", put="True"),
        (
            "tests/credentials/test_secretfile.py::test_a_file_of_somebody_else_is_refused_and_not_to_be_made_ones_own",
        ),
    ),
    Defence(
        "U13",
        "what root writes into a relay's folder is that relay's",
        THEIRS,
        "put",
        dropped("owner"),
        (
            "tests/credentials/test_secretfile.py::test_what_root_writes_into_the_folder_of_another_user_is_theirs",
        ),
    ),
    Defence(
        "U13",
        "root gives nothing away where a third user could take it",
        THEIRS,
        "opened",
        never("st_mode"),
        (
            "tests/credentials/test_secretfile.py::test_root_gives_nothing_to_a_folder_that_others_can_change",
        ),
    ),
    Defence(
        "U13",
        "root stays in the folder that it has opened",
        THEIRS,
        "put",
        call(
            "replace",
            put=(
                "os.replace(os.path.dirname({within.args.args[1].arg}) + '/' + {it.args[0]}, "
                "{within.args.args[1].arg})"
            ),
        ),
        (
            "tests/credentials/test_secretfile.py::test_a_folder_that_is_swapped_meanwhile_leads_root_nowhere",
        ),
    ),
    Defence(
        "U13",
        "a folder of root's that was put in the way is not given away",
        THEIRS,
        "make_their_dir",
        always("listdir"),
        ("tests/credentials/test_secretfile.py::test_a_full_folder_of_root_s_is_not_given_away",),
    ),
    Defence(
        "U13",
        "a lock that root makes in a relay's folder is that relay's",
        THEIRS,
        "make_lock",
        removed("fchown"),
        (
            "tests/credentials/test_secretfile.py::test_a_lock_that_root_makes_in_the_folder_of_another_user_is_theirs",
        ),
    ),
    Defence(
        "N7",
        "root writes through no link",
        OUTSIDE,
        "_check_link",
        expression(ast.BoolOp, "_POSIX", "geteuid", put="{it.values[0]}"),
        ("tests/disk/test_outside.py::test_root_follows_no_link",),
    ),
    Defence(
        "N7",
        "a unit is written through no link",
        OUTSIDE,
        "_check_link",
        never(", and this file"),
        ("tests/disk/test_outside.py::test_a_unit_is_never_written_through_a_link",),
    ),
    Defence(
        "N7",
        "a masked unit is reported as masked",
        SERVICE,
        "_refuse_masked",
        never("is masked"),
        ("tests/disk/test_outside.py::test_a_masked_unit_is_reported_as_masked",),
    ),
    Defence(
        "N7",
        "only a regular file is written",
        OUTSIDE,
        "_refuse_other",
        never("not a regular file"),
        ("tests/disk/test_outside.py::test_what_is_not_a_file_is_neither_written_nor_removed",),
    ),
    Defence(
        "N7",
        "only the user's own link is followed",
        OUTSIDE,
        "_check_link",
        never("st_uid"),
        ("tests/disk/test_outside.py::test_what_belongs_to_somebody_else_is_refused",),
    ),
    Defence(
        "N7",
        "a link leads only to a file in the user's home",
        OUTSIDE,
        "_check_target",
        never("startswith"),
        ("tests/disk/test_outside.py::test_every_other_link_is_refused_with_path_and_target",),
    ),
    Defence(
        "N7",
        "on the way no link of another user is followed",
        OUTSIDE,
        "_step",
        always("st_uid"),
        ("tests/disk/test_outside.py::test_root_goes_through_no_folder_link_of_another_user",),
    ),
    Defence(
        "N7",
        "a pipe in place of the database hangs nobody",
        STATE,
        "State.__init__",
        removed("check_database"),
        ("tests/disk/test_outside.py::test_what_takes_the_place_of_a_file_is_refused_at_once",),
    ),
    Defence(
        "U13",
        "a file that others can read is closed to them",
        SECRETFILE,
        "_close_to_others",
        removed("fchmod"),
        (
            "tests/credentials/test_secretfile.py::test_a_file_that_others_could_read_is_closed_with_a_warning",
        ),
    ),
    Defence(
        "U13",
        "a folder of somebody else is refused",
        "airelays/disk/folder.py",
        "make_private_dir",
        never("st_uid"),
        ("tests/credentials/test_secretfile.py::test_a_folder_of_somebody_else_is_refused",),
    ),
    Defence(
        "U13",
        "a folder of ours is closed to others",
        "airelays/disk/folder.py",
        "make_private_dir",
        removed("S_IMODE"),
        ("tests/credentials/test_secretfile.py::test_a_folder_of_ours_is_closed_to_others",),
    ),
    Defence(
        "U13",
        "a lock file is no link",
        LOCK,
        "FileLock._open",
        dropped("getattr", "O_NOFOLLOW"),
        ("tests/credentials/test_secretfile.py::test_a_lock_file_is_private_and_never_a_link",),
    ),
    Defence(
        "U13",
        "no link is written through",
        SECRETFILE,
        "_put",
        never("islink"),
        (
            "tests/credentials/test_secretfile.py::test_a_symbolic_link_is_neither_written_through_nor_replaced",
        ),
    ),
    Defence(
        "U13",
        "the relay's user has no group of root's",
        ACCOUNT,
        "run_as",
        dropped("extra_groups"),
        ("tests/host/test_account.py::test_nothing_of_root_is_left",),
    ),
    Defence(
        "U13",
        "the relay's user gets no descriptor of root's",
        ACCOUNT,
        "run_as",
        value("close_fds", put="False"),
        ("tests/host/test_account.py::test_nothing_of_root_is_left",),
    ),
    Defence(
        "U13",
        "the relay's user gets no environment of root's",
        ACCOUNT,
        "environment",
        expression(ast.Dict, "HOME", put="dict({within.args.args[0].arg})"),
        ("tests/host/test_account.py::test_nothing_of_root_is_left",),
    ),
    Defence(
        "U13",
        "no terminal controls the process of the relay's user",
        ACCOUNT,
        "run_as",
        dropped("start_new_session"),
        ("tests/host/test_account.py::test_nothing_of_root_is_left",),
    ),
    Defence(
        "U13",
        "root acts only for the owner of the folder",
        ACCOUNT,
        "prepare_folder",
        never("st_uid"),
        ("tests/host/test_account.py::test_a_folder_that_is_not_that_users_is_refused[root]",),
    ),
    Defence(
        "U13",
        "root acts in no folder that a link names",
        ACCOUNT,
        "prepare_folder",
        never("S_ISLNK"),
        ("tests/host/test_account.py::test_a_folder_that_is_not_that_users_is_refused[link]",),
    ),
    Defence(
        "U13",
        "root acts in no folder that others can change",
        ACCOUNT,
        "prepare_folder",
        never("st_mode", 0o022),
        ("tests/host/test_account.py::test_a_folder_that_others_can_change_is_refused",),
    ),
    Defence(
        "U13",
        "nobody signs in where the sign-in cannot be stored",
        "airelays/commands/login.py",
        "run",
        removed("check", kind=ast.Expr),
        ("tests/upstream/test_login.py::test_nobody_signs_in_where_it_cannot_be_stored",),
    ),
)

"""Defences of the files that hold secrets: crashes while saving, links and owners, rows U12 and U13."""

from __future__ import annotations

from entry import Defence

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
        "            os.replace(staged, path)\n",
        '            open(path, "wb").write(data)\n',
        (
            "tests/credentials/test_secretfile.py::test_a_file_is_replaced_and_never_changed_in_place",
        ),
    ),
    Defence(
        "U12",
        "bytes are on disk before the name is",
        "airelays/disk/folder.py",
        "        os.fsync(new)\n    except BaseException:\n        os.close(new)\n",
        "    except BaseException:\n        os.close(new)\n",
        (
            "tests/credentials/test_secretfile.py::test_bytes_are_durable_before_the_name_and_the_name_after",
        ),
    ),
    Defence(
        "U12",
        "the name is on disk too",
        SECRETFILE,
        "        sync_folder(folder)\n",
        "",
        (
            "tests/credentials/test_secretfile.py::test_bytes_are_durable_before_the_name_and_the_name_after",
        ),
    ),
    Defence(
        "U12",
        "a failed write leaves nothing",
        "airelays/disk/folder.py",
        "            os.unlink(at, dir_fd=fd)\n        raise\n",
        "            pass\n        raise\n",
        (
            "tests/credentials/test_secretfile.py::test_a_disk_that_is_full_leaves_the_old_content_and_nothing_else",
        ),
    ),
    Defence(
        "U12",
        "the previous sign-in stays",
        SECRETFILE,
        "                _keep_backup(path)\n",
        "                pass\n",
        ("tests/credentials/test_secretfile.py::test_the_previous_content_can_be_kept",),
    ),
    Defence(
        "U12",
        "leftovers are swept",
        SECRETFILE,
        "            removed += _remove_quietly(entry.path)\n",
        "            pass\n",
        ("tests/credentials/test_secretfile.py::test_old_leftovers_are_swept_and_young_ones_kept",),
    ),
    Defence(
        "U12",
        "a write that a crash cut off is finished",
        TOKENS,
        "            stored = self.store.recover() or self.store.load()\n",
        "            stored = self.store.load()\n",
        (
            "tests/upstream/test_tokens.py::test_kill_at_every_step_of_a_refresh_never_loses_a_token_that_reached_the_disk",
        ),
    ),
    Defence(
        "U13",
        "a link is not read",
        SECRETFILE,
        "os.open(path, FLAGS | _NOFOLLOW)",
        "os.open(path, FLAGS)",
        ("tests/credentials/test_secretfile.py::test_a_symbolic_link_is_not_read",),
    ),
    Defence(
        "U13",
        "only a regular file is read",
        SECRETFILE,
        "    if not stat.S_ISREG(found.st_mode):\n",
        "    if False:\n",
        (
            "tests/credentials/test_secretfile.py::test_a_pipe_or_a_folder_is_refused_without_waiting",
        ),
    ),
    Defence(
        "U13",
        "a pipe hangs nobody",
        REGULAR,
        '"O_NONBLOCK", "O_NOCTTY"',
        '"O_NOCTTY"',
        (
            "tests/credentials/test_secretfile.py::test_a_pipe_or_a_folder_is_refused_without_waiting",
        ),
    ),
    Defence(
        "U13",
        "a file of somebody else is not read",
        SECRETFILE,
        "    if found.st_uid != os.geteuid() and not _is_owned_like_its_folder(found, path):\n",
        "    if False:\n",
        (
            "tests/credentials/test_secretfile.py::test_a_file_of_somebody_else_is_refused_and_not_to_be_made_ones_own",
        ),
    ),
    Defence(
        "U13",
        "root reads a file of another user only in that user's own folder",
        SECRETFILE,
        "    return folder.st_uid == found.st_uid and not folder.st_mode & 0o022\n",
        "    return True\n",
        (
            "tests/credentials/test_secretfile.py::test_a_file_of_somebody_else_is_refused_and_not_to_be_made_ones_own",
        ),
    ),
    Defence(
        "U13",
        "what root writes into a relay's folder is that relay's",
        THEIRS,
        "    staged = stage(os.path.dirname(path), name, data, owner=ids, fd=their.fd)\n",
        "    staged = stage(os.path.dirname(path), name, data, fd=their.fd)\n",
        (
            "tests/credentials/test_secretfile.py::test_what_root_writes_into_the_folder_of_another_user_is_theirs",
        ),
    ),
    Defence(
        "U13",
        "root gives nothing away where a third user could take it",
        THEIRS,
        "        if found.st_mode & 0o022:\n",
        "        if False:\n",
        (
            "tests/credentials/test_secretfile.py::test_root_gives_nothing_to_a_folder_that_others_can_change",
        ),
    ),
    Defence(
        "U13",
        "root stays in the folder that it has opened",
        THEIRS,
        "        os.replace(staged, name, src_dir_fd=their.fd, dst_dir_fd=their.fd)\n",
        '        os.replace(f"{os.path.dirname(path)}/{staged}", path)\n',
        (
            "tests/credentials/test_secretfile.py::test_a_folder_that_is_swapped_meanwhile_leads_root_nowhere",
        ),
    ),
    Defence(
        "U13",
        "a folder of root's that was put in the way is not given away",
        THEIRS,
        "                    if os.fstat(fd).st_uid == 0 and not os.listdir(fd):\n",
        "                    if True:\n",
        ("tests/credentials/test_secretfile.py::test_a_full_folder_of_root_s_is_not_given_away",),
    ),
    Defence(
        "U13",
        "a lock that root makes in a relay's folder is that relay's",
        THEIRS,
        "                os.fchown(fd, their.uid, their.gid)\n            finally:\n                os.close(fd)\n\n\n",
        "                pass\n            finally:\n                os.close(fd)\n\n\n",
        (
            "tests/credentials/test_secretfile.py::test_a_lock_that_root_makes_in_the_folder_of_another_user_is_theirs",
        ),
    ),
    Defence(
        "N7",
        "root writes through no link",
        OUTSIDE,
        "    if not _POSIX or os.geteuid() == 0:\n",
        "    if not _POSIX:\n",
        ("tests/disk/test_outside.py::test_root_follows_no_link",),
    ),
    Defence(
        "N7",
        "a unit is written through no link",
        OUTSIDE,
        "    if not home:\n",
        "    if False:\n",
        ("tests/disk/test_outside.py::test_a_unit_is_never_written_through_a_link",),
    ),
    Defence(
        "N7",
        "a masked unit is reported as masked",
        SERVICE,
        "    if mask:\n        raise ConfigError(\n",
        "    if False:\n        raise ConfigError(\n",
        ("tests/disk/test_outside.py::test_a_masked_unit_is_reported_as_masked",),
    ),
    Defence(
        "N7",
        "only a regular file is written",
        OUTSIDE,
        "    kind = kind_of(found.st_mode)\n    if kind:\n        raise",
        "    kind = kind_of(found.st_mode)\n    if False:\n        raise",
        ("tests/disk/test_outside.py::test_what_is_not_a_file_is_neither_written_nor_removed",),
    ),
    Defence(
        "N7",
        "only the user's own link is followed",
        OUTSIDE,
        "    if found.st_uid != os.geteuid():\n        raise ConfigError(\n",
        "    if False:\n        raise ConfigError(\n",
        ("tests/disk/test_outside.py::test_what_belongs_to_somebody_else_is_refused",),
    ),
    Defence(
        "N7",
        "a link leads only to a file in the user's home",
        OUTSIDE,
        '                if not place.path.startswith(top.rstrip("/") + "/"):\n',
        "                if False:\n",
        ("tests/disk/test_outside.py::test_every_other_link_is_refused_with_path_and_target",),
    ),
    Defence(
        "N7",
        "on the way no link of another user is followed",
        OUTSIDE,
        "        if found.st_uid in (0, os.geteuid()):\n",
        "        if True:\n",
        ("tests/disk/test_outside.py::test_root_goes_through_no_folder_link_of_another_user",),
    ),
    Defence(
        "N7",
        "a pipe in place of the database hangs nobody",
        STATE,
        "            check_database(self.path)\n",
        "",
        ("tests/disk/test_outside.py::test_what_takes_the_place_of_a_file_is_refused_at_once",),
    ),
    Defence(
        "U13",
        "root signals with the rights of the folder's owner",
        THEIRS,
        "                os.setuid(their.uid)\n",
        "                pass\n",
        (
            "tests/credentials/test_secretfile.py::test_root_signals_only_what_the_owner_of_the_folder_could",
        ),
    ),
    Defence(
        "U13",
        "a file that others can read is closed to them",
        SECRETFILE,
        "        os.fchmod(fd, 0o600)\n    except OSError as error:\n        raise ConfigError(\n",
        "        pass\n    except OSError as error:\n        raise ConfigError(\n",
        (
            "tests/credentials/test_secretfile.py::test_a_file_that_others_could_read_is_closed_with_a_warning",
        ),
    ),
    Defence(
        "U13",
        "a folder of somebody else is refused",
        "airelays/disk/folder.py",
        "        if found.st_uid != os.geteuid():\n",
        "        if False:\n",
        ("tests/credentials/test_secretfile.py::test_a_folder_of_somebody_else_is_refused",),
    ),
    Defence(
        "U13",
        "a folder of ours is closed to others",
        "airelays/disk/folder.py",
        "            os.chmod(path, stat.S_IMODE(found.st_mode) & 0o700)\n",
        "            pass\n",
        ("tests/credentials/test_secretfile.py::test_a_folder_of_ours_is_closed_to_others",),
    ),
    Defence(
        "U13",
        "a lock file is no link",
        LOCK,
        'os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | ',
        "os.O_RDWR | os.O_CREAT | ",
        ("tests/credentials/test_secretfile.py::test_a_lock_file_is_private_and_never_a_link",),
    ),
    Defence(
        "U13",
        "no link is written through",
        SECRETFILE,
        "        if os.path.islink(path) or (os.path.exists(path) and not os.path.isfile(path)):\n",
        "        if False:\n",
        (
            "tests/credentials/test_secretfile.py::test_a_symbolic_link_is_neither_written_through_nor_replaced",
        ),
    ),
)

"""What a user's code may not do to this process: end it, print into its output, or leave PyTorch with other settings."""

import os
import sys

import numpy as np
import pytest
import torch

from dfkd_tune.utils.user_code import ASIDE, Confined, own_output, setting_up


def test_its_words_go_to_standard_error_and_its_settings_with_it(capsys):
    out, leave = sys.stdout, os._exit
    with pytest.raises(LookupError), Confined():
        print("aside")
        ASIDE.close()
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        raise LookupError
    assert (sys.stdout, os._exit) == (out, leave)
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32
    assert capsys.readouterr() == ("", "aside\n")


def test_an_end_of_the_process_is_one_of_the_call():
    with pytest.raises(SystemExit, match="3"), Confined():
        os._exit(3)


def test_one_call_within_another_leaves_all_as_it_was():
    before = sys.stdout, os._exit
    with Confined(), Confined():
        pass
    assert (sys.stdout, os._exit) == before


def test_an_import_leaves_the_folder_and_the_errors_of_numpy(tmp_path):
    before = os.getcwd(), np.geterr()
    with setting_up():
        os.chdir(tmp_path)
        np.seterr(all="raise")
    assert (os.getcwd(), np.geterr()) == before


def test_a_commands_own_words_are_all_that_it_prints(capfd):
    with own_output():
        print("ours")
        os.write(1, b"of C code\n")
        os.system("echo of a child")
    print("after")
    assert capfd.readouterr() == ("ours\nafter\n", "of C code\nof a child\n")


def test_without_a_standard_output_nothing_is_moved(monkeypatch, capfd):
    """As under a service manager."""
    monkeypatch.setattr(sys, "stdout", None)
    with own_output():
        assert sys.stdout is None
    os.write(1, b"still there\n")
    assert capfd.readouterr().out == "still there\n"


def test_a_child_of_the_teacher_ends_as_it_likes():
    with Confined():
        child = os.fork()
        if child == 0:
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

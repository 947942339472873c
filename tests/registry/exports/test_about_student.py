"""What a file says of its student."""

from dfkd_tune.registry.exports.about_student import about_student
from dfkd_tune.registry.stored_student import load_trial


def test_it_has_origin_hashes_and_certificate(study, store):
    _, result, run = load_trial(store.tracking, study, None)
    said = "\n".join(about_student(store.tracking, study, run, result))
    assert study in said and run.info.run_id in said and result["teacher_sha256"] in said
    assert "the RMSE between student and teacher is" in said and "It promises nothing of:" in said

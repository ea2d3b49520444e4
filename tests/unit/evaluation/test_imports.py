import subprocess
import sys

TORCH_FREE = (
    *("agreement", "figures", "judge"),
    *("evaluation", "metrics", "openers", "outcomes", "refusal", "report"),
    *("report_html", "report_text", "rows", "validity"),
)


def test_judging_and_reporting_need_no_torch():
    modules = ", ".join(f"safegene.evaluation.{name}" for name in TORCH_FREE)
    program = (
        f"import sys, {modules};"
        "print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    )

    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert found.stdout.strip() == "set()"

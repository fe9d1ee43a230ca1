"""What a person does on the page, in a real Chromium, at a real server."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.support.console.browser import is_list, open_run, page_of, status
from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import wait_until
from tests.support.servers.server_process import ServerProcess, serving

pytestmark = pytest.mark.slow

#: What a page may ask for before there is something to be seen.
MOST_REQUESTS = 14


def rows(page: Page) -> list[str]:
    """The rows of the waterfall, as a screen reader has them."""
    told: list[str] = page.locator("[role=treegrid] .w-bars > .hidden").all_text_contents()
    return told[1:]


def test_a_newcomer_clicks_a_sentence_and_sees_what_came_of_it(
    browser: Browser, server: ServerProcess
) -> None:
    with page_of(browser, server.url) as page:
        asked: list[int] = []  # until a list came: it asks for more when it is told of changes
        page.on("response", lambda one: asked.append(len(page.asked)) if is_list(one) else None)
        page.goto("/")
        expect(page.locator(".live")).to_have_text("● live")
        expect(page.locator(".pages")).to_contain_text("run")
        assert asked[0] <= MOST_REQUESTS

        page.get_by_role("button", name="what is (41*7)+13").click()

        expect(page.locator(".outcome .large")).to_have_text("300")
        expect(status(page)).to_have_text("✓ completed")
        expect(page.get_by_role("heading", level=1)).to_contain_text("what is (41*7)+13")
        page.get_by_role("link", name="Runs", exact=True).click()
        expect(page.get_by_role("row", name="what is (41*7)+13")).to_contain_text("completed")


def test_what_changed_before_the_page_was_told_of_changes_is_seen(
    browser: Browser, server: ServerProcess
) -> None:
    with page_of(browser, server.url) as page:
        held: list[Route] = []
        page.route("**/runs/stream", lambda route: held.append(route))
        page.goto("/")
        expect(page.locator(".pages")).to_contain_text("run")
        server.settled(server.post("calculate 1234 * 2"))
        wait_until(lambda: held or page.wait_for_timeout(1))
        held[0].continue_()
        expect(page.get_by_role("row", name="calculate 1234 * 2")).to_be_visible()


def test_the_plan_appears_while_one_types_and_unplaced_words_are_underlined(
    browser: Browser, server: ServerProcess
) -> None:
    with page_of(browser, server.url) as page:
        page.goto("/")
        field = page.get_by_label("What should be done?")
        field.fill("add a todo: call 👩‍🚀 Ann, then show my tasks")
        expect(page.locator("#preview li")).to_have_text(
            ["1 todo_store.add “call 👩‍🚀 Ann”", "2 todo_store.list "]
        )
        field.fill("what is the capital of France, and add a todo to visit it")
        expect(page.locator(".under .unplaced")).to_have_text("what is the capital of France")
        field.press("Enter")
        expect(status(page)).to_have_text("✕ failed")
        expect(page.locator(".sentence .unplaced")).to_have_text("what is the capital of France")


def test_a_failure_is_explained_and_mended_with_another_input(
    browser: Browser, server: ServerProcess
) -> None:
    run_id = server.post("calculate 6 * 7, then order a unicorn")
    server.settled(run_id)
    with page_of(browser, server.url) as page:
        open_run(page, run_id)
        expect(page.locator(".detail")).to_contain_text("ValueError")
        expect(page.locator(".outcome")).to_contain_text("the shop has no a unicorn")

        page.keyboard.press("r")
        expect(page.locator(".panel")).to_contain_text("Not executed again: step 1.")
        page.get_by_label("Its input").fill('{"item": ')
        expect(page.get_by_role("button", name="Retry from step 2")).to_be_disabled()
        page.get_by_label("Its input").fill('{"item": "cake"}')
        page.get_by_role("button", name="Retry from step 2").click()

        expect(status(page)).to_have_text("✓ completed")
        expect(page.locator(".outcome .large")).to_have_text("ordered cake")
        expect(page.get_by_role("row", name="attempt 1")).to_have_count(2)


def test_attempts_and_the_waits_between_them_add_up_to_the_run(
    browser: Browser, server: ServerProcess
) -> None:
    run_id = server.post("order bread")
    server.settled(run_id)
    with page_of(browser, server.url) as page:
        open_run(page, run_id)
        expect(page.get_by_role("row", name="attempt 3")).to_contain_text("succeeded")
        assert [row.split(":")[0] for row in rows(page) if row.startswith("attempt")] == [
            "attempt 1",
            "attempt 2",
            "attempt 3",
        ]
        assert "failed" in rows(page)[3]
        assert "backoff" in rows(page)[3]
        summed = page.evaluate(
            """async (id) => {
                const {rows, grown} = await import('/console/run/timeline.js');
                const read = async (path) => (await fetch(path)).json();
                const record = await read(`/runs/${id}`), told = await read(`/runs/${id}/explain`);
                const all = rows(record, grown(record, told, 0));
                return [all.reduce((sum, row) => sum + row.ms, 0), told.total_ms];
            }""",
            run_id,
        )
        assert summed[0] == pytest.approx(summed[1], abs=0.001)


def test_a_plan_is_edited_and_approved(browser: Browser, server: ServerProcess) -> None:
    with page_of(browser, server.url) as page:
        page.goto("/")
        page.get_by_label("show me the plan first").check()
        page.get_by_label("What should be done?").fill("order a pizza, then calculate 1 + 1")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator(".approve")).to_contain_text("of which 1 changes something")

        page.get_by_label("Input of step 1").fill("{}")
        expect(page.locator(".approve .wrong")).to_have_text(
            "step 1: item of shop.order: Field required. The run waits as before."
        )
        page.get_by_label("Input of step 1").fill('{"item": "soup"}')
        page.get_by_role("button", name="Remove step 2").click()
        page.get_by_role("button", name="Approve the edited plan").click()

        expect(status(page)).to_have_text("✓ completed")
        expect(page.locator(".outcome .large")).to_have_text("ordered soup")
        page.get_by_role("tab", name="Plan").click()
        expect(page.get_by_role("tabpanel")).to_contain_text("As it was proposed")


def test_an_edited_plan_is_checked_by_the_server_before_it_is_approved(
    browser: Browser, server: ServerProcess
) -> None:
    """Which knows more than the page: here that the tool has no such input, and a reference."""
    run_id = server.ask("order rice, then calculate 1 + 1")
    with page_of(browser, server.url) as page:
        open_run(page, run_id)
        told, first = page.locator(".approve [role=alert]"), page.get_by_label("Input of step 1")
        button = page.get_by_role("button", name="Approve")
        for unfit, word in (
            ('{"item": "rice", "size": 3}', "size"),
            ('{"item": "{step_2_output}"}', "step_2_output"),
        ):
            first.fill(unfit)
            expect(told).to_contain_text(word)
            expect(button).to_be_disabled()
        assert server.get(run_id)["status"] == "waiting"
        with page.expect_response("**/approve") as checked:  # it is asked once typing rests
            first.fill('{"item": "beans"}')
        assert checked.value.status == 200
        expect(told).to_have_count(0)
        assert server.get(run_id)["status"] == "waiting"
        button.click()
        expect(page.locator(".outcome")).to_be_visible()
        assert server.settled(run_id)["execution_log"][0]["output"] == "ordered beans"


def test_who_knows_what_became_of_a_step_in_doubt_says_so(
    browser: Browser, server: ServerProcess
) -> None:
    with page_of(browser, server.url) as page:
        open_run(page, server.post("ship tea, then calculate 1 + 1"))
        asked = page.get_by_role("region", name="Has step 1")
        expect(asked).to_contain_text("Nobody knows")
        expect(asked.get_by_role("button", name="Decide")).to_be_disabled()
        asked.get_by_label("done").check()
        asked.get_by_label("What it has returned").fill('"shipped"')
        asked.get_by_role("button", name="Decide").click()
        expect(status(page)).to_have_text("✓ completed")


def test_a_run_is_forked_from_one_of_its_states(browser: Browser, server: ServerProcess) -> None:
    run_id = server.post("calculate 6 * 7, then say hi")
    server.settled(run_id)
    with page_of(browser, server.url) as page:
        open_run(page, run_id)
        page.get_by_role("tab", name="States").click()
        state = page.get_by_role("row", name="execute_step").nth(1)
        state.get_by_role("button", name="Fork …").click()
        expect(page.get_by_role("tabpanel")).to_contain_text("1 step done by then is not executed")
        page.get_by_label("The task").fill("calculate 2 + 2")
        expect(page.get_by_role("tabpanel")).to_contain_text("planned anew")
        page.get_by_role("button", name="Fork", exact=True).click()
        expect(page.locator(".crumb")).to_contain_text("forked from")
        expect(page.locator(".crumb")).to_contain_text("forked by client")
        expect(page.locator(".outcome .large")).to_have_text("4")

        open_run(page, run_id)
        page.get_by_role("tab", name="States").click()
        state.get_by_role("button", name="Fork …").click()
        page.get_by_role("button", name="Edit its plan").click()
        page.get_by_label("Tool of step 2").select_option("calculator")
        page.get_by_label("Input of step 2").fill('{"expression": "{step_1_output} + 1"}')
        page.get_by_role("button", name="Fork", exact=True).click()
        expect(page.locator(".outcome .large")).to_have_text("43")


def test_a_run_is_compared_with_another(browser: Browser, server: ServerProcess) -> None:
    first, second = (server.post(f"calculate 6 * {n}, then 2 + 2") for n in (7, 8))
    for run_id in (first, second):
        server.settled(run_id)
    with page_of(browser, server.url) as page:
        open_run(page, first)
        page.get_by_role("tab", name="Compare").click()
        other, panel = page.get_by_label("Another run"), page.get_by_role("tabpanel")
        other.fill(second)
        other.press("Enter")
        expect(panel.get_by_role("row", name="output")).to_contain_text("42")
        expect(panel.get_by_role("row", name="output")).to_contain_text("48")
        other.fill(first)
        other.press("Enter")
        expect(panel).to_contain_text("Nothing differs.")
        other.fill("no such run")
        other.press("Enter")
        expect(panel.get_by_role("alert")).to_contain_text("No run has the id")


def test_several_runs_are_cancelled_at_once_and_rows_are_reached_by_keys(
    browser: Browser, server: ServerProcess
) -> None:
    for name in "abc":
        server.post(f"pass gate several-{name}")
    with page_of(browser, server.url) as page:
        page.goto("/#/?text=several")
        found = page.get_by_role("row", name="pass gate several")
        expect(found).to_have_count(3)
        found.first.get_by_role("checkbox").check()
        page.get_by_role("button", name="Select all 3").click()
        page.get_by_role("button", name="Cancel 3").click()
        page.get_by_role("button", name="Yes, cancel them").click()
        expect(page.locator("tbody .s-cancelled")).to_have_count(3)

        page.locator("h1").first.focus()
        page.keyboard.press("/")
        expect(page.get_by_label("Search the prompts")).to_be_focused()
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        page.keyboard.press("j")
        expect(found.nth(1).get_by_role("link")).to_be_focused()
        page.keyboard.press("Enter")
        expect(status(page)).to_have_text("⊘ cancelled")


def test_a_run_is_cancelled_and_the_list_changes_by_itself(
    browser: Browser, server: ServerProcess
) -> None:
    with (
        page_of(browser, server.url) as page,
        page_of(browser, server.url) as listed,
    ):
        listed.goto("/")
        run_id = server.post("pass gate never, then calculate 1 + 1")
        open_run(page, run_id)
        row = listed.get_by_role("row", name="pass gate never")
        expect(row).to_contain_text("running")
        page.get_by_role("button", name="Cancel …").click()
        expect(page.locator(".panel")).to_contain_text("Not done: steps 1 and 2.")
        page.get_by_role("button", name="Yes, cancel it").click()
        expect(status(page)).to_have_text("⊘ cancelled")
        expect(row).to_contain_text("cancelled")


def test_a_server_is_killed_and_started_again_while_one_watches(
    browser: Browser, tmp_path: Path
) -> None:
    first = ServerProcess(tmp_path, tools=GATE)
    port = first.url.rpartition(":")[2]
    run_id = first.post("calculate 6 * 7, then pass gate crash, then calculate 1 + 1")
    with page_of(browser, first.url) as page:
        open_run(page, run_id)
        running = page.locator(".r-running")
        running.wait_for()
        first.kill()
        expect(page.locator(".live")).to_contain_text("not live: as of")
        with serving(tmp_path, tools=GATE, port=port) as second:
            expect(page.locator(".live")).to_have_text("● live")
            expect(page.locator(".facts")).to_contain_text("taken up again once")
            expect(running).to_have_count(1)
            second.open_gate("crash")
            expect(status(page)).to_have_text("✓ completed")
            steps = page.locator("[role=row][aria-level='1']")
            expect(steps.filter(has_text="calculator").locator(".bar")).to_have_count(2)
            expect(steps.filter(has_text="gate").locator(".bar")).to_have_count(1)
            expect(steps.filter(has_text="crash until recovery").locator(".bar")).to_have_count(1)

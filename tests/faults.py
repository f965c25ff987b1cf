"""Break each rule on purpose, one at a time, and see the test that guards it fail: `make faults`.

Works on a copy of the checkout. A break that no test notices is a failure of the tests; so is one whose text is no
longer in the file, since then nothing was broken. Takes some 20 minutes: it is for releases, not for every change.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.live.stack import shared_servers

ROOT = Path(__file__).parents[1]

WORKERS = 4
"""Faults tried at the same time: a test that fails mostly waits until its time is over."""

STAGE = "services/runtime/stage.py"
STEP = "services/runtime/step.py"
PROCESSES = "services/runtime/processes.py"
INDEXER = "services/indexer/app.py"
IN_HAND = "services/indexer/in_hand.py"
INDEX = "services/indexer/elasticsearch_index.py"
WRITING = "services/indexer/writing.py"
RULES = "tests/live/test_stage_rules.py"
INDEXING = "tests/live/test_indexer.py"
RESTARTED = "tests/live/test_indexer_restarts.py"
PIPELINE = "tests/live/test_pipeline.py"
MEMORY = "services/deduper/memory.py"
LINKER = "services/linker/core.py"
LINKING = "services/linker/app.py"
LINES = "tests/live/test_boilerplate.py"
COPIES = "tests/live/test_linker.py"
DOCUMENTS = "services/indexer/core.py"
ANEW = "tests/live/test_retag.py"
FETCH = "services/producer/fetch.py"
GUARD = "tests/unit/producer/test_fetch.py"
PRODUCER = "services/producer/app.py"
POLLING = "services/producer/polling.py"
LISTS = "tests/unit/producer/test_polling.py"
SET_UP = "services/setup/app.py"
COMPARISON = "services/setup/comparison.py"
SEARCH = "services/cli/search.py"
MAPPINGS = "deploy/elasticsearch/news-mappings.json"
SETTING_UP = "tests/live/test_setup.py"
MAPPING = "tests/live/test_mapping.py"
AWAY = "tests/live/test_away.py"
RETENTION = "services/indexer/retention.py"
BRINGING = "tests/unit/indexer/test_writing.py"
CORRECTING = "tests/unit/indexer/test_corrections.py"
HELD = "tests/unit/indexer/test_in_hand.py"
LOOP = "tests/unit/indexer/test_app.py"
REQUESTS = "tests/unit/indexer/test_app_requests.py"
MIGRATING = "tests/unit/indexer/test_migration.py"
REBUILT = "tests/live/test_rebuild.py"
MIGRATED = "tests/live/test_migration.py"
MIGRATION_FAULTS = "tests/live/test_migration_faults.py"
UNDER_LOAD = "tests/live/test_migration_under_load.py"
REBUILD = "services/indexer/rebuild.py"
MIGRATION = "services/indexer/migration.py"
COPYING = "services/indexer/copying.py"
CONTENT = "tests/live/test_content.py"
CORRECTED = "tests/live/test_corrections.py"
RETRACTED = "tests/live/test_retractions.py"
RETRACTING = "tests/live/test_retracting.py"
READING = "schemas/reading.py"
ARTICLE = "schemas/article.py"
RETRACT = "services/cli/retract.py"
GATEWAY = "services/gateway/core.py"
CLEANER = "services/cleaner/app.py"
LETTING = "tests/live/test_dead_letters.py"
LETTERS = "schemas/dead_letter.py"
QUEUE = "services/cli/kafka_admin.py"
DLQ = "services/cli/dlq.py"
GROUP = "services/runtime/group.py"


@dataclass(frozen=True)
class Fault:
    """In `file`, `old` becomes `new`; then `test` must fail."""

    name: str
    file: str
    old: str
    new: str
    test: str


FAULTS = (
    Fault(
        "rule 1: Faust decodes",
        STAGE,
        'key_serializer="raw",\n                value_serializer="raw",',
        'key_serializer="raw",\n                value_serializer="json" if topic is stage.source else "raw",',
        f"{RULES}::test_rule_1_undecodable_record_is_a_dead_letter",
    ),
    Fault(
        "rule 2: a step's exception leaves the child",
        STEP,
        "    except Exception as error:  # noqa: BLE001 - Rule 2: whatever a step raises is a verdict",
        "    except ZeroDivisionError as error:",
        f"{RULES}::test_rule_2_bug_costs_one_record",
    ),
    Fault(
        "rule 3: a send counts as delivered",
        STAGE,
        "await (await topic.send(key=key, value=value, headers=headers, partition=partition))",
        "await topic.send(key=key, value=value, headers=headers, partition=partition)",
        f"{RULES}::test_rule_3_broker_outage_loses_nothing[5]",
    ),
    Fault(
        "rule 3: no limit to a result",
        STEP,
        "    if len(value) > MAX_INNER_BYTES:",
        "    if len(value) < 0:",
        f"{RULES}::test_rule_3_result_that_is_too_large_is_a_dead_letter",
    ),
    Fault(
        "rule 4: a stop does not wait, and the batch is given up",
        STAGE,
        "stream_wait_empty=True",
        "stream_wait_empty=False",
        f"{RULES}::test_rule_4_stop_amid_a_batch_loses_nothing",
    ),
    Fault(
        "rule 5: a record that nobody takes is passed over",
        STAGE,
        '            self.leave(f"the dead letter queue refuses a record: {type(error).__name__}: {error}")',
        '            log.error("dead letter queue", error=str(error))',
        f"{RULES}::test_rule_5_undeliverable_record_commits_nothing",
    ),
    Fault(
        "rule 6: no limit of time",
        PROCESSES,
        "timeout=limit)",
        "timeout=None)",
        f"{RULES}::test_rule_6_document_that_hangs_or_kills_its_process_is_a_dead_letter",
    ),
    Fault(
        "rule 6: no limit of memory for a document",
        STEP,
        "    limit_memory(settings.child_memory_mb)  # Rule 6\n",
        "",
        f"{RULES}::test_rule_6_document_that_needs_too_much_memory_is_a_dead_letter",
    ),
    Fault(
        "rule 6: a child process outlives its worker",
        STEP,
        "    end_with_parent(_fork_server or parent_pid())  # Rule 6: a killed parent can end no process\n",
        "",
        f"{RULES}::test_rule_6_killed_worker_leaves_no_process_behind",
    ),
    Fault(
        "rule 6: a fork server outlives its worker",
        STEP,
        "    end_with_parent(int(parent))  # Rule 6: by itself it would wait for a child that hangs\n",
        "",
        f"{RULES}::test_rule_6_killed_worker_leaves_no_process_behind",
    ),
    Fault(
        "rule 6: a fork server that was killed is not replaced",
        PROCESSES,
        "    forkserver.ensure_running()\n",
        "    forkserver.ensure_running()\n    del os.environ[PRELOAD]\n",
        f"{RULES}::test_rule_6_killed_fork_server_is_replaced_and_costs_no_record",
    ),
    Fault(
        "rule 7: no watchdog",
        STAGE,
        "        self.watchdog.start()\n",
        "",
        f"{RULES}::test_rule_7_topic_that_was_recreated_ends_the_worker",
    ),
    Fault(
        "rule 8: the client's own session timeout",
        STAGE,
        "broker_session_timeout=settings.session_timeout_seconds,",
        "broker_session_timeout=60.0,",
        f"{RULES}::test_rule_8_killed_process_blocks_its_group_for_seconds",
    ),
    Fault(
        "rule 8: Faust's web server",
        STAGE,
        "web_enabled=False,",
        "web_enabled=True, web_port=26066,",
        f"{RULES}::test_rule_8_only_the_health_endpoint_listens",
    ),
    Fault(
        "rule 9: codecs are not checked",
        STAGE,
        '        check_codecs(aiokafka.codec, "aiokafka")  # Rule 9\n',
        "",
        f"{RULES}::test_rule_9_missing_codec_is_named_at_the_start",
    ),
    Fault(
        "indexer: no versions",
        INDEX,
        '{"_id": document.id, "version": document.revision, "version_type": "external_gte"}',
        '{"_id": document.id}',
        f"{INDEXING}::test_version_written_meanwhile_is_not_overwritten",
    ),
    Fault(
        "indexer: committed before written",
        IN_HAND,
        "_Held(record.offset, _size(record), pending is None)",
        "_Held(record.offset, _size(record), True)",
        f"{RESTARTED}::test_kill_between_bulk_and_commit_loses_nothing",
    ),
    Fault(
        "indexer: no answer ends the indexer",
        INDEX,
        "            raise _unavailable(error) from error\n        # An answer",
        "            raise\n        # An answer",
        f"{INDEXING}::test_unavailable_elasticsearch_is_retried_until_it_answers",
    ),
    Fault(
        "indexer: a busy item counts as written",
        INDEX,
        "        return Outcome(Verdict.AGAIN, text)",
        "        return Outcome(Verdict.WRITTEN, text)",
        f"{INDEXING}::test_bulk_items_have_their_own_results",
    ),
    Fault(
        "indexer: a large request is refused whole",
        WRITING,
        "            half = len(request) // 2",
        "            half = 0",
        f"{INDEXING}::test_too_large_request_is_split",
    ),
    Fault(
        "indexer: a block is the document's fault",
        INDEX,
        '"cluster_block_exception", ',
        "",
        f"{INDEXING}::test_blocked_index_is_waited_for",
    ),
    Fault(
        "a missing alias is the document's fault",
        INDEX,
        '"index_not_found_exception", ',
        "",
        f"{INDEXING}::test_missing_alias_is_waited_for",
    ),
    Fault(
        "indexer: no rights is a matter of waiting",
        INDEX,
        "        return Forbidden(text)",
        "        return Unavailable(text)",
        f"{RESTARTED}::test_forbidden_indexer_exits_without_commit",
    ),
    Fault(
        "indexer: what does not decode ends it",
        WRITING,
        "        except Refused as refused:",
        "        except ZeroDivisionError as refused:",
        f"{INDEXING}::test_undecodable_record_is_dead_lettered",
    ),
    Fault(
        "a rebalance forgets the records in hand",
        INDEXER,
        "                self.consumer.seek(place, first[place])",
        "                pass",
        f"{RESTARTED}::test_rebalance_during_outage_loses_nothing",
    ),
    Fault(
        "T12: a refusal is a result",
        STAGE,
        '            await self._deliver(self.dlq, record.key or place.encode(), record.value or b"", headers)',
        "            pass",
        f"{PIPELINE}::test_poison_is_a_dead_letter_and_can_be_replayed",
    ),
    Fault(
        "repeats: articles that taught a line are not sent again",
        STAGE,
        "await asyncio.to_thread(memories.fetch, again)",
        "await asyncio.to_thread(memories.fetch, [])",
        f"{LINES}::test_line_of_three_different_articles_is_dropped_from_all",
    ),
    Fault(
        "repeats: articles of one story count as different",
        "services/deduper/boilerplate.py",
        "_likeness(one, other, line) < likeness",
        "_likeness(one, other, line) <= 1",
        f"{LINES}::test_background_of_one_story_stays",
    ),
    Fault(
        "repeats: what a person says is not heard",
        STAGE,
        "await asyncio.to_thread(memories.listen)",
        "await asyncio.sleep(0)",
        f"{LINES}::test_ruling_of_person_overrides_learned_line",
    ),
    Fault(
        "repeats: a lost memory is not made again",
        "services/runtime/remembering.py",
        "        position = max(store.position, start)\n",
        "        position = max(store.position, start, offset)\n",
        f"{LINES}::test_lost_state_is_restored_from_kafka",
    ),
    Fault(
        "repeats: later articles do not hear of an earlier one",
        LINKER,
        "return [self._overlap(now), *(self._overlap(each) for each in others)]",
        "return [self._overlap(now)]",
        f"{COPIES}::test_copies_join_one_story_in_any_order",
    ),
    Fault(
        "repeats: a correction leaves its old fingerprints behind",
        LINKER,
        "for value in old | new:",
        "for value in new:",
        f"{COPIES}::test_corrected_article_leaves_its_story",
    ),
    Fault(
        "repeats: a linker on another machine begins at the last commit",
        LINKING,
        "if self.topics[place.topic] is not ARTICLES_DEDUPED:",
        "if self._open(place) and False:",
        f"{COPIES}::test_killed_linker_is_replaced_on_another_machine",
    ),
    Fault(
        "repeats: an article is written without its story",
        WRITING,
        "stories.get(each.id))",
        "None)",
        f"{INDEXING}::test_article_gets_its_story_in_either_order",
    ),
    Fault(
        "repeats: a document that is there is not told its story",
        WRITING,
        "self._write_all(self.index, retold)",
        "self._write_all(self.index, [])",
        f"{INDEXING}::test_article_gets_its_story_in_either_order",
    ),
    Fault(
        "repeats: a story that cannot be read is none",
        INDEX,
        "source=source)\n        except ApiError as error:\n"
        "            raise failure_of(error.status_code, error) from error\n",
        "source=source)\n        except ApiError:\n            return []\n",
        f"{INDEXING}::test_unreadable_stories_are_waited_for",
    ),
    Fault(
        "retag: the document keeps its old entities",
        DOCUMENTS,
        "    return source | found | {",
        "    return source | {",
        f"{ANEW}::test_retag_writes_names_of_users_and_changes_nothing_else",
    ),
    Fault(
        "retag: entities of another text are taken",
        DOCUMENTS,
        '        or source["revision"] != retagged.revision\n'
        '        or digest_of_body(source["body"]) != retagged.body_digest\n',
        "",
        f"{ANEW}::test_killed_retag_resumes_and_corrections_keep_their_own_names",
    ),
    Fault(
        "fetch: addresses are not judged",
        FETCH,
        "            if not self.may_reach(address):",
        "            if False:",
        f"{GUARD}::test_a_redirect_to_a_forbidden_address_is_not_followed",
    ),
    Fault(
        "fetch: an IPv4 address in an IPv6 one is not looked at",
        FETCH,
        "        if inner is not None:",
        "        if False:",
        f"{GUARD}::test_an_ipv4_address_is_judged_the_same_in_each_wrapping",
    ),
    Fault(
        "fetch: the name is resolved again for the connection",
        FETCH,
        "                return self.connect((str(address), port), timeout)",
        "                return self.connect((self.resolve(host, port)[0], port), timeout)",
        f"{GUARD}::test_a_public_address_is_fetched_at_the_address_that_was_judged",
    ),
    Fault(
        "fetch: a bomb is unpacked",
        FETCH,
        "        if len(body) > RATIO_FROM_BYTES and",
        "        if False and",
        f"{GUARD}::test_a_bomb_is_given_up_before_it_is_unpacked",
    ),
    Fault(
        "fetch: only each byte has a limit of time",
        FETCH,
        "    timer.start()\n",
        "",
        f"{GUARD}::test_a_server_that_drips_is_given_up",
    ),
    Fault(
        "produce: the checkpoint does not wait for Kafka",
        "services/producer/states.py",
        "                self._stuck.add(item.part)",
        "                pass",
        "tests/unit/producer/test_run.py",
    ),
    Fault(
        "produce: a correction does not stay behind what it corrects",
        PRODUCER,
        "(waiting.record.key not in behind and self._confirmed(waiting))",
        "self._confirmed(waiting)",
        "tests/unit/producer/test_publish.py",
    ),
    Fault(
        "produce: a client that had no answer in time is kept",
        PRODUCER,
        "            abandon(self.producer)\n            self.producer = None\n",
        "            pass\n",
        "tests/unit/producer/test_publish.py",
    ),
    Fault(
        "gateway: the answer does not wait for Kafka",
        "services/gateway/app.py",
        "                confirmed = await answer\n",
        "                confirmed = True\n",
        "tests/unit/gateway",
    ),
    Fault(
        "gateway: an article is accepted before Kafka has confirmed it",
        "services/gateway/app.py",
        "            await self._confirmed(records)\n",
        "            asyncio.create_task(self._confirmed(records))\n",
        "tests/live/test_gateway.py::test_accepted_articles_survive_broker_absence",
    ),
    Fault(
        "cloudevents: the child is not told how a record is packed",
        STAGE,
        ", *packing_headers(each.headers))",
        ")",
        "tests/live/test_cloudevents.py",
    ),
    Fault(
        "feeds: what was given is given again",
        POLLING,
        "        if each.seen.get(entry.key) == entry.digest[:DIGEST_CHARACTERS]:",
        "        if False:",
        f"{LISTS}::test_each_entry_is_given_once",
    ),
    Fault(
        "feeds: a corrected entry is taken for the old one",
        POLLING,
        "        if each.seen.get(entry.key) == entry.digest[:DIGEST_CHARACTERS]:",
        "        if entry.key in each.seen:",
        f"{LISTS}::test_a_changed_entry_is_given_again",
    ),
    Fault(
        "set-up: the alias gets no filter",
        SET_UP,
        '**stands, "filter": hidden}}]',
        "**stands}}]",
        f"{SETTING_UP}::test_alias_without_filter_gets_it_and_keeps_its_other_settings",
    ),
    Fault(
        "set-up: a filter of an operator's own is replaced",
        SET_UP,
        'if "filter" in stands:',
        'if stands.get("filter") == hidden:',
        f"{SETTING_UP}::test_filter_of_operator_stays",
    ),
    Fault(
        "set-up: the standby keeps its older fields",
        SET_UP,
        "        + _set_up_standby(client, settings)\n",
        "",
        f"{SETTING_UP}::test_standby_index_gets_new_fields",
    ),
    Fault(
        "set-up: one field that is mapped otherwise keeps the others out",
        SET_UP,
        "if len(fields) > 1:",
        "if False:",
        f"{SETTING_UP}::test_field_of_another_type_stays_and_all_others_are_added",
    ),
    Fault(
        "set-up: a lost alias goes to any index",
        SET_UP,
        "if len(names) > 1:",
        "if False:",
        f"{SETTING_UP}::test_lost_alias_is_not_restored_among_several_indices",
    ),
    Fault(
        "set-up: an operator's retention is overwritten",
        SET_UP,
        "if now not in EARLIER_RETENTION_MS[topic.name]:",
        "if now == topic.retention_ms:",
        f"{SETTING_UP}::test_retention_of_operator_stays",
    ),
    Fault(
        "mapping: a retracted article is a hit",
        SET_UP,
        "(SETTINGS, MAPPINGS), NOT_RETRACTED)",
        "(SETTINGS, MAPPINGS))",
        f"{MAPPING}::test_retracted_article_is_not_found_counted_or_suggested",
    ),
    Fault(
        "mapping: a suggestion comes once for each article",
        SEARCH,
        '"skip_duplicates": True',
        '"skip_duplicates": False',
        f"{MAPPING}::test_suggestions_start_with_prefix_and_come_once",
    ),
    Fault(
        "mapping: a sub-field without offsets",
        MAPPINGS,
        '"analyzer": "german", "index_options": "offsets"',
        '"analyzer": "german"',
        f"{MAPPING}::test_query_in_another_form_finds_and_highlights_headline",
    ),
    Fault(
        "check: an older index seems to fit",
        COMPARISON,
        "if version > running.version}",
        "if version < running.version}",
        f"{MAPPING}::test_index_of_version_1_needs_set_up_and_then_migration",
    ),
    Fault(
        "check: analyzers are not looked at",
        COMPARISON,
        'COMPARED_SETTINGS = ("analysis", "mapping")',
        'COMPARED_SETTINGS = ("mapping",)',
        f"{MAPPING}::test_unchangeable_differences_need_migration",
    ),
    Fault(
        "away: an Elasticsearch that is back waits for the first bulk",
        INDEXER,
        "min(self.settings.backoff_max_seconds, 0.2 * 2 ** min(self.tries, 16))",
        "0.2 * 2 ** min(self.tries, 16)",
        f"{AWAY}::test_outage_longer_than_poll_interval_keeps_membership_and_loses_nothing[24s]",
    ),
    Fault(
        "in hand: an article in two requests at once",
        IN_HAND,
        "        self._under_way.update(names)\n",
        "",
        f"{REQUESTS}::test_an_article_is_in_one_request_at_a_time",
    ),
    Fault(
        "in hand: committed as soon as it is done",
        IN_HAND,
        "while records and records[0].done:",
        "while records and any(each.done for each in records):",
        f"{HELD}::test_an_offset_is_given_out_when_all_up_to_it_is_done",
    ),
    Fault(
        "in hand: what is left waits behind all others",
        IN_HAND,
        "        later, self._waiting = self._waiting, {}\n        for each in taken:",
        "        later: dict[str, list[Pending]] = {}\n        for each in taken:",
        f"{HELD}::test_what_is_left_waits_before_all_others_and_in_its_order",
    ),
    Fault(
        "in hand: the next records wait for all that are written",
        INDEXER,
        "            self._begin_requests()\n            #",
        "            if not self.work:\n                self._begin_requests()\n            #",
        f"{REQUESTS}::test_the_next_records_are_read_and_written_while_others_are_written",
    ),
    Fault(
        "in hand: a rebalance does not wait for what is written",
        INDEXER,
        "            each.cancel()\n        wait(self.work)\n",
        "            each.cancel()\n",
        f"{REQUESTS}::test_a_rebalance_waits_for_what_is_being_written",
    ),
    Fault(
        "in hand: a rebalance waits for what has not begun",
        INDEXER,
        "        for each in self.work:\n            each.cancel()\n        wait(self.work)\n",
        "        wait(self.work)\n",
        f"{REQUESTS}::test_a_rebalance_does_not_wait_for_what_has_not_begun",
    ),
    Fault(
        "in hand: more bytes than said",
        INDEXER,
        "            and self.hand.bytes < settings.bulk_bytes * settings.bulk_in_flight * IN_HAND\n",
        "",
        f"{REQUESTS}::test_no_more_bytes_are_in_hand_than_said",
    ),
    Fault(
        "in hand: each try adds to what waits",
        INDEXER,
        "if self._has_room() and not self.hand.again:",
        "if self._has_room():",
        f"{LOOP}::test_while_something_is_tried_again_no_more_is_taken",
    ),
    Fault(
        "in hand: requests without an answer one after the other",
        INDEXER,
        "        if self.away:\n            return request, self.away\n",
        "",
        f"{LOOP}::test_after_a_request_without_an_answer_the_others_wait",
    ),
    Fault(
        "in hand: a client's position is kept for what came in the very poll",
        INDEXER,
        "                first[place] = min(offset, first.get(place, offset))",
        "                first.setdefault(place, offset)",
        f"{REQUESTS}::test_what_was_in_hand_and_then_revoked_is_read_again",
    ),
    Fault(
        "away: partitions are not paused",
        INDEXER,
        "        self.consumer.pause(*self.consumer.assignment())\n        # A",
        "        # A",
        f"{LOOP}::test_while_it_waits_all_is_paused_and_the_membership_kept",
    ),
    Fault(
        "away: an index of an older version is written to",
        INDEXER,
        "                if not missing:\n",
        "                if True:\n",
        f"{RESTARTED}::test_index_of_older_version_is_waited_for",
    ),
    Fault(
        "retention: what is past it comes in",
        DOCUMENTS,
        "return retention is not None and document.timestamp < now - retention",
        "return False",
        f"{BRINGING}::test_an_article_past_its_retention_is_not_written",
    ),
    Fault(
        "retention: what is past it stays",
        RETENTION,
        '{"lt": before}',
        '{"lt": "1900-01-01"}',
        f"{RESTARTED}::test_expired_articles_are_deleted_and_not_indexed",
    ),
    Fault(
        "dead letters: a closed one is shown",
        WRITING,
        "content, source = each.content, None\n",
        'content, source = each.content, b"{}"\n',
        f"{INDEXING}::test_open_dead_letter_is_indexed_until_replayed",
    ),
    Fault(
        "corrections: a try without an answer forgets a revision",
        WRITING,
        "left = [each for one in tried.left for each, _ in coming[one.id]]",
        "left = list(tried.left)",
        f"{BRINGING}::test_a_try_that_had_no_answer_forgets_no_revision",
    ),
    Fault(
        "corrections: a refused revision takes the one before it along",
        WRITING,
        "        left += [each for one in tried.refused",
        "        left += [each for one in []",
        f"{BRINGING}::test_a_revision_that_the_index_refuses_leaves_the_one_before_it",
    ),
    Fault(
        "retractions: what a person holds back comes in again",
        DOCUMENTS,
        '    if retracted.get("hold"):',
        "    if False:",
        f"{CORRECTING}::test_what_a_person_holds_back_stays_out_whatever_comes",
    ),
    Fault(
        "dead letters: a replayed article beats its correction",
        STAGE,
        "seconds=original_timestamp_ms(own, _milliseconds(message.timestamp)) / 1000,",
        "seconds=message.timestamp,",
        f"{LETTING}::test_replayed_article_loses_to_its_correction",
    ),
    Fault(
        "dead letters: one that fails again is new",
        LETTERS,
        "CARRIED = (ATTEMPT, TIMESTAMP, FIRST_TIME, HEADERS_CUT)",
        "CARRIED = (ATTEMPT, FIRST_TIME, HEADERS_CUT)",
        f"{LETTING}::test_repeated_failure_keeps_first_times",
    ),
    Fault(
        "dead letters: closed before they are published",
        DLQ,
        "        published = self._confirmed(window, self._publish)\n"
        "        self.done += len(self._confirmed(published, self._mark))\n",
        "        marked = self._confirmed(window, self._mark)\n"
        "        self.done += len(self._confirmed(marked, self._publish))\n",
        f"{LETTING}::test_replay_killed_midway_delivers_every_dead_letter[60]",
    ),
    Fault(
        "dead letters: those that wait are deleted",
        QUEUE,
        "found = min(_not_closed(records, lambda record, _: record.offset), default=ends.end)",
        "found = ends.end",
        f"{LETTING}::test_queue_shrinks_to_oldest_open_dead_letter",
    ),
    Fault(
        "dead letters: the indexer does not learn what was closed",
        QUEUE,
        "if offset is not None and offset.offset >= 0:",
        "if offset is None:",
        f"{LETTING}::test_stopped_indexer_learns_what_was_closed",
    ),
    Fault(
        "dead letters: a stage fills the queue",
        STAGE,
        "if full := await asyncio.to_thread(DEAD_LETTER_QUEUE.take_room):",
        "if full := None:",
        f"{LETTING}::test_full_queue_stops_stage_and_loses_nothing",
    ),
    Fault(
        "dead letters: the indexer fills the queue",
        GROUP,
        "if full := DEAD_LETTER_QUEUE.take_room():",
        "if full := None:",
        f"{LETTING}::test_full_queue_stops_indexer",
    ),
    Fault(
        "dead letters: headers have no bound",
        LETTERS,
        "        if size <= room:",
        "        if size:",
        f"{LETTING}::test_record_with_many_headers_is_dead_lettered_with_its_whole_value",
    ),
    Fault(
        "dead letters: what was packed small stops the cleaner",
        STAGE,
        "producer_max_request_size=16 * MAX_INNER_BYTES,",
        "producer_max_request_size=MAX_INNER_BYTES,",
        f"{LETTING}::test_record_too_large_unpacked_is_dead_lettered",
    ),
    Fault(
        "corrections: what was replaced is gone",
        DOCUMENTS,
        '    earlier = [*present.get("history", ()), _version(present)] if present else []',
        "    earlier: list[Any] = []",
        f"{CORRECTED}::test_correction_keeps_replaced_versions",
    ),
    Fault(
        "corrections: what says nothing else is a version",
        DOCUMENTS,
        "pairwise([top, *older]) if _said(newer) != _said(each)]",
        "pairwise([top, *older])]",
        f"{CORRECTED}::test_unchanged_article_has_no_history",
    ),
    Fault(
        "corrections: the history has no bound",
        DOCUMENTS,
        "different[: keep.versions]",
        "different",
        f"{CORRECTED}::test_history_is_bounded",
    ),
    Fault(
        "retractions: an older copy comes in",
        DOCUMENTS,
        "return cleared is None or document.event.created > cleared",
        "return True",
        f"{RETRACTED}::test_tombstone_rejects_older_copy_and_accepts_newer_revision",
    ),
    Fault(
        "retractions: a tombstone that overtakes its article is forgotten",
        DOCUMENTS,
        "    told = Retracted(time=retraction.time",
        "    if present is None:\n        return None\n    told = Retracted(time=retraction.time",
        f"{RETRACTED}::test_tombstone_before_article_rejects_it",
    ),
    Fault(
        "retractions: the story stays",
        WRITING,
        "untold = self._write_all(self.stories, gone)",
        "untold = Tried()",
        f"{RETRACTED}::test_retracted_article_leaves_none_of_its_text",
    ),
    Fault(
        "retractions: the cleaner passes no tombstone on",
        CLEANER,
        ", tombstones=ARTICLES_RETRACTED)",
        ")",
        f"{RETRACTING}::test_article_is_retracted_by_producer_and_held_back_by_person",
    ),
    Fault(
        "retractions: the gateway sends no tombstone",
        GATEWAY,
        "return Record(name, None)",
        'return Record(name, b"")',
        f"{RETRACTING}::test_delete_over_http_retracts_article",
    ),
    Fault(
        "retractions: dead letters keep the text",
        RETRACT,
        "lambda each: each.key in keys",
        "lambda each: False",
        f"{RETRACTING}::test_retraction_purges_dead_letters_of_article",
    ),
    Fault(
        "retractions: a tombstone that comes again undoes a person's word",
        DOCUMENTS,
        "        return bool(held)",
        "        return False",
        f"{CORRECTED}::test_records_in_any_order_give_same_index",
    ),
    Fault(
        "T21: a field of a newer version is refused",
        ARTICLE,
        'model_config = ConfigDict(extra="ignore", frozen=True)',
        'model_config = ConfigDict(extra="forbid", frozen=True)',
        f"{CONTENT}::test_record_of_a_newer_version_is_indexed",
    ),
    Fault(
        "T21: the field is not named",
        READING,
        'f"{field[:SHOWN_NAME]}: {text}" if field else text',
        "text",
        f"{CONTENT}::test_field_of_another_type_is_a_dead_letter_that_names_it",
    ),
    Fault(
        "T23: any key is a field",
        MAPPINGS,
        '"extra": { "type": "flattened", "ignore_above": 8191, "depth_limit": 2 }',
        '"extra": { "type": "object", "dynamic": true }',
        f"{CONTENT}::test_hostile_content_is_indexed_or_refused_and_changes_nothing_else",
    ),
    Fault(
        "T23: an id that Elasticsearch does not take",
        WRITING,
        "if not 0 < len(content.id.encode()) <= MAX_ID_BYTES:",
        "if False:",
        f"{CONTENT}::test_id_that_elasticsearch_refuses_costs_one_record",
    ),
    Fault(
        "T5: a dead letter that cannot be written is passed over",
        INDEXER,
        'self.leave(EXIT_UNDELIVERABLE, f"no dead letter',
        'log.error(f"no dead letter',
        f"{CONTENT}::test_dead_letter_that_cannot_be_written_stops_the_indexer",
    ),
    Fault(
        "migration: a copy takes the place of what the indexer wrote",
        COPYING,
        'kind = "external_gte" if over_equal or document.source is None else "external"',
        'kind = "external_gte"',
        f"{MIGRATING}::test_the_copy_never_takes_the_place_of_the_same_version_and_mending_does",
    ),
    Fault(
        "migration: a busy item counts as copied",
        COPYING,
        "            if outcome.verdict is Verdict.AGAIN:\n                again.append(each)\n            else:",
        "            if outcome.verdict is not Verdict.AGAIN:",
        f"{MIGRATING}::test_each_item_has_its_own_verdict",
    ),
    Fault(
        "migration: what is not read is not noticed",
        COPYING,
        "if whole and not moment.lost and count != total:",
        "if False:",
        f"{MIGRATING}::test_what_is_not_read_is_noticed",
    ),
    Fault(
        "migration: contents are not compared",
        COPYING,
        "return document.source != other.source and _parsed(document) != _parsed(other)",
        "return False",
        f"{MIGRATED}::test_differences_are_found_and_repaired",
    ),
    Fault(
        "migration: an index that was given up comes back",
        COPYING,
        "index=self._alias, require_alias=True",
        "index=self._alias",
        f"{MIGRATION_FAULTS}::test_deleted_standby_is_not_created_again",
    ),
    Fault(
        "migration: bulks that are under way are not waited for",
        MIGRATION,
        "left = min(grace, grace - since)",
        "left = 0.0",
        f"{MIGRATING}::test_bulks_that_were_under_way_are_waited_for",
    ),
    Fault(
        "migration: any index is deleted",
        MIGRATION,
        "if now.standby != standing.standby or now.main != standing.main:",
        "if False:",
        f"{MIGRATING}::test_finish_deletes_the_standby_that_was_asked_about_and_no_other",
    ),
    Fault(
        "migration: there is always room",
        MIGRATION,
        "if disks and size > free:",
        "if False:",
        f"{MIGRATING}::test_a_second_index_must_find_room",
    ),
    Fault(
        "migration: it begins anew after a kill",
        MIGRATION,
        "self.note(standby, replace(filling, phase=COPY, after=page[-1].id))",
        "pass",
        f"{MIGRATED}::test_interrupted_copy_resumes",
    ),
    Fault(
        "migration: refused documents are left behind",
        MIGRATION,
        "    if counts.refused:\n",
        "    if counts.refused < 0:\n",
        f"{MIGRATED}::test_refused_document_prevents_switch",
    ),
    Fault(
        "migration: what comes late is lost",
        MIGRATION,
        "    _look_for_late(work, work.standing(), done)\n",
        "",
        f"{MIGRATED}::test_late_write_to_old_index_is_copied",
    ),
    Fault(
        "migration: it is switched with differences",
        MIGRATION,
        "            if not compared.lasting:\n                return since",
        "            if True:\n                return since",
        f"{MIGRATED}::test_indexer_that_writes_to_one_index_prevents_switch",
    ),
    Fault(
        "migration: a lost answer to the switch is an error",
        MIGRATION,
        "            if self.standing().main != standby:\n                raise",
        "            raise",
        f"{MIGRATION_FAULTS}::test_unavailable_elasticsearch_is_retried",
    ),
    Fault(
        "migration: the alias loses its filter",
        MIGRATION,
        '                    "filter": NOT_RETRACTED,\n',
        "",
        f"{MIGRATED}::test_migration_switches_goes_back_and_finishes",
    ),
    Fault(
        "migration: the indexer writes to one index",
        INDEXER,
        ", standby=settings.name(STANDBY_ALIAS))",
        ")",
        f"{UNDER_LOAD}::test_searches_under_load_miss_no_document[200]",
    ),
    Fault(
        "rebuild: retractions are passed over",
        REBUILD,
        "        self.done.kafka[ARTICLES_RETRACTED.name] = self.bring_in(ARTICLES_RETRACTED)\n",
        "",
        f"{REBUILT}::test_lost_index_is_rebuilt",
    ),
    Fault(
        "rebuild: what Kafka no longer has is gone",
        REBUILD,
        "counts = self.work.copy(standing, filling, self.done)",
        "counts = Counts()",
        f"{REBUILT}::test_document_that_kafka_lacks_is_copied",
    ),
    Fault(
        "rebuild: Kafka is read again without need",
        REBUILD,
        "        if filling.phase == KAFKA:",
        "        if True:",
        f"{REBUILT}::test_interrupted_rebuild_resumes",
    ),
)


def is_noticed(fault: Fault) -> bool:
    """Whether the test fails on a copy of the checkout with this fault."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "newsflow"
        ignored = shutil.ignore_patterns(".venv", ".git", ".newsflow", ".*_cache", "__pycache__")
        shutil.copytree(ROOT, copy, ignore=ignored)
        file = copy / fault.file
        text = file.read_text(encoding="utf-8")
        if text.count(fault.old) != 1:
            raise SystemExit(f"{fault.name}: its text is {text.count(fault.old)} times in {fault.file}, not once")
        file.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", fault.test],
            cwd=copy,
            capture_output=True,
            text=True,
            check=False,
            # The copy's own packages come first, before the installed checkout's.
            env={**os.environ, "PYTHONPATH": str(copy)},
        )
        if done.returncode not in (0, 1):
            raise SystemExit(f"{fault.name}: pytest could not run\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.returncode == 1


def main() -> None:
    """Try every fault; exit status 1 when one was not noticed."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("words", nargs="*", help="only faults whose name has one of these words")
    arguments.add_argument("--workers", type=int, default=WORKERS, help="faults that are tried at the same time")
    given = arguments.parse_args()
    chosen = [fault for fault in FAULTS if not given.words or any(word in fault.name for word in given.words)]
    missed = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if any(fault.test.startswith("tests/live") for fault in chosen):
            # All runs share the servers; each has its own topics and indices.
            os.environ["NEWSFLOW_TEST_STACK"] = folder
            stack.enter_context(shared_servers(Path(folder)))
        with ThreadPoolExecutor(given.workers) as pool:
            for fault, good in zip(chosen, pool.map(is_noticed, chosen), strict=True):
                print(f"{'noticed' if good else 'NOT NOTICED'}  {fault.name}", flush=True)
                if not good:
                    missed.append(fault)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} faults were noticed")
    if missed:
        sys.exit(1)


if __name__ == "__main__":
    main()

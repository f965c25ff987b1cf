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
INDEXER = "services/indexer/app.py"
IN_HAND = "services/indexer/in_hand.py"
INDEX = "services/indexer/elasticsearch_index.py"
WRITING = "services/indexer/writing.py"
RULES = "tests/live/test_stage_rules.py"
INDEXING = "tests/live/test_indexer.py"
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
MIGRATING = "tests/unit/indexer/test_migration.py"
REBUILT = "tests/live/test_rebuild.py"
MIGRATED = "tests/live/test_migration.py"
REBUILD = "services/indexer/rebuild.py"
MIGRATION = "services/indexer/migration.py"
COPYING = "services/indexer/copying.py"
CONTENT = "tests/live/test_content.py"
CORRECTED = "tests/live/test_corrections.py"
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
        f"{RULES}::test_rule_1_what_does_not_decode_is_a_dead_letter",
    ),
    Fault(
        "rule 2: a step's exception leaves the child",
        STAGE,
        "    except Exception as error:  # noqa: BLE001 - Rule 2: whatever a step raises is a verdict",
        "    except ZeroDivisionError as error:",
        f"{RULES}::test_rule_2_a_bug_costs_one_record",
    ),
    Fault(
        "rule 3: a send counts as delivered",
        STAGE,
        "await (await topic.send(key=key, value=value, headers=headers, partition=partition))",
        "await topic.send(key=key, value=value, headers=headers, partition=partition)",
        f"{RULES}::test_rule_3_a_broker_that_is_away_loses_nothing[40]",
    ),
    Fault(
        "rule 3: no limit to a result",
        STAGE,
        "    if len(value) > MAX_INNER_BYTES:",
        "    if len(value) < 0:",
        f"{RULES}::test_rule_3_a_result_that_is_too_large_is_a_dead_letter",
    ),
    Fault(
        "rule 4: a stop does not wait, and the batch is given up",
        STAGE,
        "stream_wait_empty=True",
        "stream_wait_empty=False",
        f"{RULES}::test_rule_4_a_stop_in_mid_batch_loses_nothing",
    ),
    Fault(
        "rule 5: a record that nobody takes is passed over",
        STAGE,
        '            self.leave(f"the dead letter queue refuses a record: {type(error).__name__}: {error}")',
        '            log.error("dead letter queue", error=str(error))',
        f"{RULES}::test_rule_5_nothing_is_committed_when_nothing_can_be_delivered",
    ),
    Fault(
        "rule 6: no limit of time",
        STAGE,
        "timeout=limit)",
        "timeout=None)",
        f"{RULES}::test_rule_6_a_document_that_hangs_or_kills_its_process_is_a_dead_letter",
    ),
    Fault(
        "rule 6: no limit of memory for a document",
        STAGE,
        "    limit_memory(settings.child_memory_mb)  # Rule 6\n",
        "",
        f"{RULES}::test_rule_6_a_document_that_needs_too_much_memory_is_a_dead_letter",
    ),
    Fault(
        "rule 6: a child process outlives its worker",
        STAGE,
        "    end_with_parent()  # Rule 6: a killed parent can end no process that hangs\n",
        "",
        f"{RULES}::test_rule_6_a_killed_worker_leaves_no_process_behind",
    ),
    Fault(
        "rule 7: no watchdog",
        STAGE,
        "        self.watchdog.start()\n",
        "",
        f"{RULES}::test_rule_7_a_topic_made_anew_under_a_worker_is_noticed",
    ),
    Fault(
        "rule 8: the client's own session timeout",
        STAGE,
        "broker_session_timeout=settings.session_timeout_seconds,",
        "broker_session_timeout=60.0,",
        f"{RULES}::test_rule_8_a_killed_process_holds_its_group_up_for_seconds",
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
        f"{RULES}::test_rule_9_a_missing_codec_is_named_at_the_start",
    ),
    Fault(
        "indexer: no versions",
        INDEX,
        '{"_id": document.id, "version": document.revision, "version_type": "external_gte"}',
        '{"_id": document.id}',
        f"{INDEXING}::test_a_correction_replaces_and_an_older_copy_loses",
    ),
    Fault(
        "T2: committed before written",
        IN_HAND,
        "_Held(record.offset, _size(record), pending is None)",
        "_Held(record.offset, _size(record), True)",
        f"{INDEXING}::test_t2_killed_between_the_bulk_and_the_commit",
    ),
    Fault(
        "T6: no answer ends the indexer",
        INDEX,
        "            raise _unavailable(error) from error\n        # An answer",
        "            raise\n        # An answer",
        f"{INDEXING}::test_t6_an_elasticsearch_that_takes_nothing",
    ),
    Fault(
        "T7: a busy item counts as written",
        INDEX,
        "        return Outcome(Verdict.AGAIN, text)",
        "        return Outcome(Verdict.WRITTEN, text)",
        f"{INDEXING}::test_t7_every_item_has_its_own_verdict",
    ),
    Fault(
        "T8: a large request is refused whole",
        WRITING,
        "            half = len(request) // 2",
        "            half = 0",
        f"{INDEXING}::test_t8_a_request_that_is_too_large_is_split",
    ),
    Fault(
        "T9: a block is the document's fault",
        INDEX,
        '"cluster_block_exception", ',
        "",
        f"{INDEXING}::test_t9_a_full_disk_blocks_and_is_cleared[write]",
    ),
    Fault(
        "a missing alias is the document's fault",
        INDEX,
        '"index_not_found_exception", ',
        "",
        f"{INDEXING}::test_a_missing_alias_is_no_fault_of_the_documents",
    ),
    Fault(
        "T10: no rights is a matter of waiting",
        INDEX,
        "        return Forbidden(text)",
        "        return Unavailable(text)",
        f"{INDEXING}::test_t10_without_rights_it_stops_and_commits_nothing[403]",
    ),
    Fault(
        "indexer: what does not decode ends it",
        WRITING,
        "        except Refused as refused:",
        "        except ZeroDivisionError as refused:",
        f"{INDEXING}::test_what_does_not_decode_is_a_dead_letter",
    ),
    Fault(
        "a rebalance forgets the records in hand",
        INDEXER,
        "                self.consumer.seek(place, first[place])",
        "                pass",
        f"{INDEXING}::test_a_rebalance_while_elasticsearch_is_away",
    ),
    Fault(
        "T12: a refusal is a result",
        STAGE,
        '            await self._deliver(self.dlq, record.key or place.encode(), record.value or b"", headers)',
        "            pass",
        f"{PIPELINE}::test_t12_poison_is_a_dead_letter_and_can_be_replayed",
    ),
    Fault(
        "repeats: articles that taught a line are not sent again",
        STAGE,
        "await asyncio.to_thread(memories.fetch, again)",
        "await asyncio.to_thread(memories.fetch, [])",
        f"{LINES}::test_a_line_in_three_different_articles_is_dropped_from_all_of_them",
    ),
    Fault(
        "repeats: articles of one story count as different",
        "services/deduper/boilerplate.py",
        "_likeness(one, other, line) < likeness",
        "_likeness(one, other, line) <= 1",
        f"{LINES}::test_background_of_one_story_stays_however_often_it_comes",
    ),
    Fault(
        "repeats: what a person says is not heard",
        STAGE,
        "await asyncio.to_thread(memories.listen)",
        "await asyncio.sleep(0)",
        f"{LINES}::test_what_a_person_says_is_stronger",
    ),
    Fault(
        "repeats: a lost memory is not made again",
        "services/runtime/remembering.py",
        "        position = max(store.position, start)\n",
        "        position = max(store.position, start, offset)\n",
        f"{LINES}::test_a_lost_folder_and_a_moved_partition_are_made_again_from_kafka",
    ),
    Fault(
        "repeats: later articles do not hear of an earlier one",
        LINKER,
        "return [self._overlap(now), *(self._overlap(each) for each in others)]",
        "return [self._overlap(now)]",
        f"{COPIES}::test_copies_are_of_one_story_in_any_order",
    ),
    Fault(
        "repeats: a correction leaves its old fingerprints behind",
        LINKER,
        "for value in old | new:",
        "for value in new:",
        f"{COPIES}::test_a_correction_may_leave_its_story",
    ),
    Fault(
        "repeats: a linker on another machine begins at the last commit",
        LINKING,
        "if self.topics[place.topic] is not ARTICLES_DEDUPED:",
        "if self._open(place) and False:",
        f"{COPIES}::test_a_killed_linker_on_another_machine_finds_the_same",
    ),
    Fault(
        "repeats: an article is written without its story",
        WRITING,
        "stories.get(each.id))",
        "None)",
        f"{INDEXING}::test_an_article_has_its_story_whichever_comes_first",
    ),
    Fault(
        "repeats: a document that is there is not told its story",
        WRITING,
        "self._write_all(self.index, retold)",
        "self._write_all(self.index, [])",
        f"{INDEXING}::test_an_article_has_its_story_whichever_comes_first",
    ),
    Fault(
        "repeats: a story that cannot be read is none",
        INDEX,
        "source=source)\n        except ApiError as error:\n"
        "            raise failure_of(error.status_code, error) from error\n",
        "source=source)\n        except ApiError:\n            return []\n",
        f"{INDEXING}::test_stories_that_cannot_be_read_are_waited_for",
    ),
    Fault(
        "retag: the document keeps its old entities",
        DOCUMENTS,
        "    return source | found | {",
        "    return source | {",
        f"{ANEW}::test_other_names_of_the_users_own_come_into_the_index",
    ),
    Fault(
        "retag: entities of another text are taken",
        DOCUMENTS,
        '        or source["revision"] != retagged.revision\n'
        '        or digest_of_body(source["body"]) != retagged.body_digest\n',
        "",
        f"{ANEW}::test_killed_in_the_middle_it_goes_on_and_corrections_keep_their_own_names",
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
        f"{SETTING_UP}::test_an_alias_without_its_filter_gets_it_and_else_stays",
    ),
    Fault(
        "set-up: a filter of an operator's own is replaced",
        SET_UP,
        'if "filter" in stands:',
        'if stands.get("filter") == hidden:',
        f"{SETTING_UP}::test_a_filter_of_an_operators_own_stays",
    ),
    Fault(
        "set-up: the standby keeps its older fields",
        SET_UP,
        "        + _set_up_standby(client, settings)\n",
        "",
        f"{SETTING_UP}::test_the_index_that_takes_every_write_too_takes_the_new_fields",
    ),
    Fault(
        "set-up: one field that is mapped otherwise keeps the others out",
        SET_UP,
        "if len(fields) > 1:",
        "if False:",
        f"{SETTING_UP}::test_a_field_that_is_mapped_otherwise_stays_and_all_others_come_in",
    ),
    Fault(
        "set-up: a lost alias goes to any index",
        SET_UP,
        "if len(names) > 1:",
        "if False:",
        f"{SETTING_UP}::test_of_several_indices_without_an_alias_none_is_chosen",
    ),
    Fault(
        "set-up: an operator's retention is overwritten",
        SET_UP,
        "if now not in EARLIER_RETENTION_MS[topic.name]:",
        "if now == topic.retention_ms:",
        f"{SETTING_UP}::test_a_retention_of_an_operators_own_stays",
    ),
    Fault(
        "mapping: a retracted article is a hit",
        SET_UP,
        "(SETTINGS, MAPPINGS), NOT_RETRACTED)",
        "(SETTINGS, MAPPINGS))",
        f"{MAPPING}::test_a_retracted_article_is_no_hit_not_counted_and_not_suggested",
    ),
    Fault(
        "mapping: a suggestion comes once for each article",
        SEARCH,
        '"skip_duplicates": True',
        '"skip_duplicates": False',
        f"{MAPPING}::test_suggestions_begin_so_each_once_and_whole",
    ),
    Fault(
        "mapping: a sub-field without offsets",
        MAPPINGS,
        '"analyzer": "german", "index_options": "offsets"',
        '"analyzer": "german"',
        f"{MAPPING}::test_a_word_of_a_headline_is_found_and_marked_in_another_form",
    ),
    Fault(
        "check: an older index seems to fit",
        COMPARISON,
        "if version > running.version}",
        "if version < running.version}",
        f"{MAPPING}::test_an_index_of_version_1_wants_set_up_and_then_a_migration",
    ),
    Fault(
        "check: analyzers are not looked at",
        COMPARISON,
        'COMPARED_SETTINGS = ("analysis", "mapping")',
        'COMPARED_SETTINGS = ("mapping",)',
        f"{MAPPING}::test_what_no_set_up_changes_wants_a_migration",
    ),
    Fault(
        "away: an Elasticsearch that is back waits for the first bulk",
        INDEXER,
        "min(self.settings.backoff_max_seconds, 0.2 * 2 ** min(self.tries, 16))",
        "0.2 * 2 ** min(self.tries, 16)",
        f"{AWAY}::test_an_elasticsearch_that_is_away_for_long",
    ),
    Fault(
        "in hand: an article in two requests at once",
        IN_HAND,
        "        self._under_way.update(names)\n",
        "",
        f"{LOOP}::test_an_article_is_in_one_request_at_a_time",
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
        f"{LOOP}::test_the_next_records_are_read_and_written_while_others_are_written",
    ),
    Fault(
        "in hand: a rebalance does not wait for what is written",
        INDEXER,
        "            each.cancel()\n        wait(self.work)\n",
        "            each.cancel()\n",
        f"{LOOP}::test_a_rebalance_waits_for_what_is_being_written",
    ),
    Fault(
        "in hand: a rebalance waits for what has not begun",
        INDEXER,
        "        for each in self.work:\n            each.cancel()\n        wait(self.work)\n",
        "        wait(self.work)\n",
        f"{LOOP}::test_a_rebalance_does_not_wait_for_what_has_not_begun",
    ),
    Fault(
        "in hand: more bytes than said",
        INDEXER,
        "            and self.hand.bytes < settings.bulk_bytes * settings.bulk_in_flight * IN_HAND\n",
        "",
        f"{LOOP}::test_no_more_bytes_are_in_hand_than_said",
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
        f"{LOOP}::test_what_was_in_hand_and_then_revoked_is_read_again",
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
        f"{INDEXING}::test_an_indexer_without_an_index_says_what_to_do_and_waits",
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
        f"{INDEXING}::test_articles_past_their_retention_go_and_come_in_no_more",
    ),
    Fault(
        "dead letters: a closed one is shown",
        WRITING,
        "content, source = each.content, None\n",
        'content, source = each.content, b"{}"\n',
        f"{INDEXING}::test_an_open_dead_letter_is_shown_in_the_index_until_it_is_replayed",
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
        f"{LETTING}::test_a_replayed_article_does_not_beat_its_correction",
    ),
    Fault(
        "dead letters: one that fails again is new",
        LETTERS,
        "CARRIED = (ATTEMPT, TIMESTAMP, FIRST_TIME, HEADERS_CUT)",
        "CARRIED = (ATTEMPT, FIRST_TIME, HEADERS_CUT)",
        f"{LETTING}::test_one_that_fails_again_keeps_its_first_times",
    ),
    Fault(
        "dead letters: closed before they are published",
        DLQ,
        "        published = self._confirmed(window, self._publish)\n",
        "        self._confirmed(window, self._mark)\n        published = self._confirmed(window, self._publish)\n",
        f"{LETTING}::test_a_thousand_dead_letters_of_six_kinds_are_brought_in",
    ),
    Fault(
        "dead letters: those that wait are deleted",
        QUEUE,
        "found = min((each.place for each in _open(records, lambda _: True)), default=ends.end)",
        "found = ends.end",
        f"{LETTING}::test_the_queue_shrinks_to_the_oldest_that_waits",
    ),
    Fault(
        "dead letters: the indexer does not learn what was closed",
        QUEUE,
        "if offset is not None and offset.offset >= 0:",
        "if offset is None:",
        f"{LETTING}::test_an_indexer_that_was_away_learns_what_was_closed",
    ),
    Fault(
        "dead letters: a stage fills the queue",
        STAGE,
        "if full := await asyncio.to_thread(DEAD_LETTER_QUEUE.take_room):",
        "if full := None:",
        f"{LETTING}::test_at_its_limit_the_queue_grows_no_more_and_nothing_is_lost",
    ),
    Fault(
        "dead letters: the indexer fills the queue",
        GROUP,
        "if full := DEAD_LETTER_QUEUE.take_room():",
        "if full := None:",
        f"{LETTING}::test_at_the_limit_an_indexer_leaves_too",
    ),
    Fault(
        "dead letters: headers have no bound",
        LETTERS,
        "        if size <= room:",
        "        if size:",
        f"{LETTING}::test_a_record_with_many_headers_is_a_dead_letter_with_its_whole_value",
    ),
    Fault(
        "dead letters: what was packed small stops the cleaner",
        STAGE,
        "producer_max_request_size=16 * MAX_INNER_BYTES,",
        "producer_max_request_size=MAX_INNER_BYTES,",
        f"{LETTING}::test_a_record_that_was_packed_small_holds_nothing_up",
    ),
    Fault(
        "corrections: what was replaced is gone",
        DOCUMENTS,
        '    earlier = [*present.get("history", ()), _version(present)] if present else []',
        "    earlier: list[Any] = []",
        f"{CORRECTED}::test_a_correction_keeps_what_it_replaced",
    ),
    Fault(
        "corrections: what says nothing else is a version",
        DOCUMENTS,
        "pairwise([top, *older]) if _said(newer) != _said(each)]",
        "pairwise([top, *older])]",
        f"{CORRECTED}::test_an_article_that_is_sent_again_unchanged_has_no_history",
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
        f"{CORRECTED}::test_after_a_tombstone_an_older_copy_stays_out_and_a_newer_revision_comes_in",
    ),
    Fault(
        "retractions: a tombstone that overtakes its article is forgotten",
        DOCUMENTS,
        "    told = Retracted(time=retraction.time",
        "    if present is None:\n        return None\n    told = Retracted(time=retraction.time",
        f"{CORRECTED}::test_a_tombstone_that_overtakes_its_article_keeps_it_out",
    ),
    Fault(
        "retractions: the story stays",
        WRITING,
        "untold = self._write_all(self.stories, gone)",
        "untold = Tried()",
        f"{CORRECTED}::test_what_is_left_of_an_article_is_nothing_of_its_text",
    ),
    Fault(
        "retractions: the cleaner passes no tombstone on",
        CLEANER,
        ", tombstones=ARTICLES_RETRACTED)",
        ")",
        f"{CORRECTED}::test_a_producer_takes_an_article_out_and_a_person_holds_it_back",
    ),
    Fault(
        "retractions: the gateway sends no tombstone",
        GATEWAY,
        "return Record(name, None)",
        'return Record(name, b"")',
        f"{CORRECTED}::test_delete_over_http_takes_an_article_out",
    ),
    Fault(
        "retractions: dead letters keep the text",
        RETRACT,
        "lambda each: each.key in keys",
        "lambda each: False",
        f"{CORRECTED}::test_dead_letters_of_an_article_go_with_it",
    ),
    Fault(
        "T15: a tombstone that comes again undoes a person's word",
        DOCUMENTS,
        "        return bool(held)",
        "        return False",
        f"{CORRECTED}::test_t15_three_deliveries_in_another_order_give_the_same_index",
    ),
    Fault(
        "T21: a field of a newer version is refused",
        ARTICLE,
        'model_config = ConfigDict(extra="ignore", frozen=True)',
        'model_config = ConfigDict(extra="forbid", frozen=True)',
        f"{CONTENT}::test_t21_records_of_a_newer_version_are_indexed",
    ),
    Fault(
        "T21: the field is not named",
        READING,
        'f"{field[:SHOWN_NAME]}: {text}" if field else text',
        "text",
        f"{CONTENT}::test_t21_a_field_of_another_type_is_a_dead_letter_that_names_it",
    ),
    Fault(
        "T23: any key is a field",
        MAPPINGS,
        '"extra": { "type": "flattened", "ignore_above": 8191, "depth_limit": 2 }',
        '"extra": { "type": "object", "dynamic": true }',
        f"{CONTENT}::test_t23_hostile_content_is_indexed_or_told_and_changes_nothing_else",
    ),
    Fault(
        "T23: an id that Elasticsearch does not take",
        WRITING,
        "if not 0 < len(content.id.encode()) <= MAX_ID_BYTES:",
        "if False:",
        f"{CONTENT}::test_t23_an_id_that_elasticsearch_does_not_take_costs_one_record",
    ),
    Fault(
        "T5: a dead letter that cannot be written is passed over",
        INDEXER,
        'self.leave(EXIT_UNDELIVERABLE, f"no dead letter',
        'log.error(f"no dead letter',
        f"{CONTENT}::test_t5_a_dead_letter_that_cannot_be_written_stops_the_indexer",
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
        f"{MIGRATED}::test_what_differs_is_found_and_mended",
    ),
    Fault(
        "migration: an index that was given up comes back",
        COPYING,
        "index=self._alias, require_alias=True",
        "index=self._alias",
        f"{MIGRATED}::test_an_index_that_was_given_up_meanwhile_does_not_come_back",
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
        f"{MIGRATED}::test_it_goes_on_where_it_was",
    ),
    Fault(
        "migration: refused documents are left behind",
        MIGRATION,
        "    if counts.refused:\n",
        "    if counts.refused < 0:\n",
        f"{MIGRATED}::test_a_document_that_the_new_mapping_refuses_stops_the_switch",
    ),
    Fault(
        "migration: what comes late is lost",
        MIGRATION,
        "    _look_for_late(work, work.standing(), done)\n",
        "",
        f"{MIGRATED}::test_what_comes_late_into_the_old_index_alone_is_not_lost",
    ),
    Fault(
        "migration: it is switched with differences",
        MIGRATION,
        "            if not compared.lasting:\n                return since",
        "            if True:\n                return since",
        f"{MIGRATED}::test_an_indexer_that_does_not_write_to_both_is_noticed",
    ),
    Fault(
        "migration: a lost answer to the switch is an error",
        MIGRATION,
        "            if self.standing().main != standby:\n                raise",
        "            raise",
        f"{MIGRATED}::test_a_server_that_is_busy_or_away_is_waited_for",
    ),
    Fault(
        "migration: the alias loses its filter",
        MIGRATION,
        '                    "filter": NOT_RETRACTED,\n',
        "",
        f"{MIGRATED}::test_there_back_there_and_finished",
    ),
    Fault(
        "migration: the indexer writes to one index",
        INDEXER,
        ", standby=settings.name(STANDBY_ALIAS))",
        ")",
        f"{MIGRATED}::test_under_load_nothing_is_missing_at_any_time",
    ),
    Fault(
        "rebuild: retractions are passed over",
        REBUILD,
        "        self.done.kafka[ARTICLES_RETRACTED.name] = self.bring_in(ARTICLES_RETRACTED)\n",
        "",
        f"{REBUILT}::test_an_index_that_was_lost_is_as_it_was",
    ),
    Fault(
        "rebuild: what Kafka no longer has is gone",
        REBUILD,
        "counts = self.work.copy(standing, filling, self.done)",
        "counts = Counts()",
        f"{REBUILT}::test_what_kafka_no_longer_has_is_copied",
    ),
    Fault(
        "rebuild: Kafka is read again without need",
        REBUILD,
        "        if filling.phase == KAFKA:",
        "        if True:",
        f"{REBUILT}::test_ended_it_goes_on",
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

-- The roles of a deployment. Run by the owner of the tables, after `assay setup` and again after every upgrade:
--
--   psql "$OWNER_URL" -v ON_ERROR_STOP=1 -f deploy/roles.sql
--
-- Then a login for each: CREATE ROLE worker_1 LOGIN PASSWORD '…' IN ROLE assay_worker;
-- None of them owns a table, so none can switch off the triggers that keep the log append-only.

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['assay_worker', 'assay_settlement', 'assay_operator', 'assay_arbiter'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END $$;

REVOKE ALL ON ALL TABLES IN SCHEMA assay FROM PUBLIC, assay_worker, assay_settlement, assay_operator,
    assay_arbiter;
GRANT USAGE ON SCHEMA assay TO assay_worker, assay_settlement, assay_operator, assay_arbiter;
GRANT SELECT ON assay.migration TO assay_worker, assay_settlement, assay_operator, assay_arbiter;

-- `assay work`: appends to the log and decides; holds claims. Nothing of settlement.
GRANT SELECT, INSERT ON assay.log, assay.decision, assay.claim, assay.hand_in, assay.verification, assay.parked,
                         assay.model_call
    TO assay_worker;
GRANT UPDATE (state, verification_id, holder, due_at, starts, for_judge, tries, not_found_file, not_found,
              first_not_found)
    ON assay.claim TO assay_worker;
GRANT SELECT, INSERT, UPDATE (due_at, decisions), DELETE ON assay.outbox TO assay_worker;
GRANT SELECT, INSERT, DELETE ON assay.share, assay.tokens, assay.token_wait TO assay_worker;
GRANT UPDATE (last, tokens) ON assay.tokens TO assay_worker;
GRANT UPDATE (tokens, since, until) ON assay.token_wait TO assay_worker;
GRANT UPDATE (wanted, share, until, older_share, older_until) ON assay.share TO assay_worker;
GRANT SELECT, UPDATE (confirmed_at) ON assay.dispute_outcome TO assay_worker;
-- A call under way, until it is kept.
GRANT SELECT, INSERT, DELETE ON assay.call_begun TO assay_worker, assay_arbiter;
-- FOR UPDATE asks for the right to update.
GRANT SELECT, INSERT, UPDATE ON assay.budget TO assay_worker;
GRANT UPDATE (ended_at, outcome, decision, entries, head, taken_over_by) ON assay.verification TO assay_worker;
GRANT UPDATE (noticed_at, closed_at, closed_as, closed_by, closed_reason) ON assay.parked TO assay_worker;
-- It holds the signing key, so it makes the checkpoints; it keeps evidence, and deletes it when its time is over.
GRANT SELECT, INSERT ON assay.checkpoint, assay.checkpoint_leaf, assay.evidence TO assay_worker;
GRANT SELECT ON assay.erasure, assay.seal_walk TO assay_worker;
GRANT UPDATE (place, walked_at) ON assay.seal_walk TO assay_worker;
GRANT UPDATE (state, why) ON assay.evidence TO assay_worker;
GRANT INSERT ON assay.act TO assay_worker;

-- It keeps the plans that judge.
GRANT SELECT, INSERT ON assay.artifact, assay.plan, assay.plan_file TO assay_worker;

-- `assay reverify`: judges again, and publishes decisions that overturn others; it needs a signing key, too.
GRANT SELECT ON ALL TABLES IN SCHEMA assay TO assay_arbiter;
GRANT INSERT ON assay.verification, assay.log, assay.model_call, assay.decision, assay.artifact, assay.plan,
    assay.plan_file, assay.dispute, assay.preview, assay.dispute_set, assay.dispute_item, assay.dispute_outcome,
    assay.evidence TO assay_arbiter;
GRANT UPDATE (ended_at, outcome, decision, entries, head) ON assay.verification TO assay_arbiter;
GRANT INSERT, DELETE ON assay.share, assay.tokens, assay.token_wait TO assay_arbiter;
GRANT UPDATE (last, tokens) ON assay.tokens TO assay_arbiter;
GRANT UPDATE (tokens, since, until) ON assay.token_wait TO assay_arbiter;
GRANT UPDATE (wanted, share, until, older_share, older_until) ON assay.share TO assay_arbiter;
GRANT INSERT, UPDATE ON assay.budget TO assay_arbiter;
GRANT UPDATE (state, ended_by, ended_at) ON assay.dispute_set TO assay_arbiter;
GRANT UPDATE (verification_id, error) ON assay.dispute_item TO assay_arbiter;
GRANT UPDATE (confirmed_at) ON assay.dispute_outcome TO assay_arbiter;
GRANT UPDATE (state, why) ON assay.evidence TO assay_arbiter;

-- `assay settle`: applies decisions to the marketplace's tables. Nothing of grading.
GRANT SELECT ON assay.decision, assay.switch TO assay_settlement;
GRANT SELECT, INSERT ON assay.settlement, assay.held, assay.exception TO assay_settlement;
GRANT UPDATE (reason, released_at) ON assay.held TO assay_settlement;
-- `assay settle again` is settlement, too: it closes the exceptions that it applies, and notes who said so.
GRANT UPDATE (closed_at, closed_by, closed_reason) ON assay.exception TO assay_settlement;
GRANT INSERT ON assay.act TO assay_settlement;

-- People at the command line: `assay log`, `parked`, `pause`, `settle exceptions|approve`. They decide nothing.
GRANT SELECT ON ALL TABLES IN SCHEMA assay TO assay_operator;
GRANT INSERT ON assay.act, assay.switch TO assay_operator;
GRANT UPDATE (is_on, by, reason, at) ON assay.switch TO assay_operator;
GRANT UPDATE (state, due_at, starts, tries, not_found_file, not_found, first_not_found) ON assay.claim TO assay_operator;
GRANT UPDATE (closed_at, closed_as, closed_by, closed_reason) ON assay.parked TO assay_operator;
GRANT UPDATE (approved_by, approved_at) ON assay.held TO assay_operator;
GRANT UPDATE (closed_at, closed_by, closed_reason) ON assay.exception TO assay_operator;
-- `assay erase` is the owner's: REVOKE names it so that an upgrade takes it back from whoever was given it.
REVOKE ALL ON FUNCTION assay.erase(text, integer, text, text), assay.erase_alone(text, integer, text, text)
    FROM PUBLIC, assay_worker, assay_settlement, assay_operator, assay_arbiter;

-- The marketplace's tables, where they are in this database.
DO $$
BEGIN
    IF to_regclass('public.jobs') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA public TO assay_worker, assay_settlement;
        GRANT USAGE ON SCHEMA public TO assay_arbiter;
        GRANT SELECT ON public.jobs TO assay_worker, assay_settlement, assay_arbiter;
        GRANT SELECT (id, balance_cents) ON public.users TO assay_arbiter;
        GRANT UPDATE (status, attempt_count, held_by_agent_id, receiver, receiver_agent_id, accepted_at, deadline_at,
                      output_text, output_attachments, updated_at) ON public.jobs TO assay_settlement;
        GRANT SELECT (id, balance_cents), UPDATE (balance_cents) ON public.users TO assay_settlement;
        GRANT INSERT (user_id, delta, reason) ON public.ledger_entries TO assay_settlement;
    END IF;
END $$;

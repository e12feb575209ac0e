-- What disputes decided lately, for whoever seals: among all decisions of that time they are few, and before its first statistics
-- the planner would read all.
CREATE INDEX decision_published ON assay.decision (decided_at) WHERE trigger = 'dispute';

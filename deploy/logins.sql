-- A login for each role of roles.sql, with the passwords that psql is given:
--
--   psql "$OWNER_URL" -v ON_ERROR_STOP=1 -v worker_password=… -v settlement_password=… -f deploy/logins.sql

SELECT format('CREATE ROLE %I LOGIN', login)
FROM unnest(ARRAY['worker', 'settlement']) AS login
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = login)
\gexec
GRANT assay_worker TO worker;
GRANT assay_settlement TO settlement;
ALTER ROLE worker PASSWORD :'worker_password';
ALTER ROLE settlement PASSWORD :'settlement_password';

-- What the product needs of a database before the first migration; run in it by an administrator. Repeating it changes
-- nothing. Each service has a schema, a role that owns and migrates it, and a role that works in it; none may enter
-- another's. The roles get their passwords elsewhere. A test compares the result with what the local stack makes.
DO $$
DECLARE
  service text;
  role text;
BEGIN
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  FOREACH service IN ARRAY ARRAY['gateway', 'quota', 'billing'] LOOP
    FOREACH role IN ARRAY ARRAY[service, service || '_owner'] LOOP
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
        EXECUTE format('CREATE ROLE %I LOGIN', role);
      END IF;
      EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
    END LOOP;
    EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', service, service || '_owner');
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', service, service);
  END LOOP;
  -- It compares the books in temporary tables.
  EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO billing', current_database());
END
$$;

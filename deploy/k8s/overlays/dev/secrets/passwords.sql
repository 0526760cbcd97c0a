-- Runs after roles.sql.
ALTER ROLE gateway PASSWORD 'development';
ALTER ROLE gateway_owner PASSWORD 'development';
ALTER ROLE quota PASSWORD 'development';
ALTER ROLE quota_owner PASSWORD 'development';
ALTER ROLE billing PASSWORD 'development';
ALTER ROLE billing_owner PASSWORD 'development';

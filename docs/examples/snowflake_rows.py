"""Print what has landed: a table of the database, as any client of Snowflake reads it."""

import sys

import snowflake.connector

with snowflake.connector.connect(
    account="EMULATOR",
    user="ETL_USER",
    role="ETL_ROLE",
    warehouse="ETL_WH",
    database="ETL_DB",
    authenticator="SNOWFLAKE_JWT",
    private_key_file="snowflake/key.pem",
    host="127.0.0.1",
    port=8443,
    protocol="https",
    custom_root_store_path="snowflake/ca.pem",
    enable_server_session_keep_alive_auto_detection=False,
) as connection:
    for row in connection.cursor().execute(sys.argv[1]):
        print(*row)

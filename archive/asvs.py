"""OWASP ASVS 5.0.0, level 2: every requirement, and what answers it here. Data.

docs/asvs.md is made from it; tests hold that every test named exists and that no requirement lacks.
A line: id | what it asks for, in our words | verdict. Verdicts: `=` names of tests; `:` done, and
why no test says so; `-` does not apply, and why; `!` not met, or by whoever runs it.
"""

from __future__ import annotations

from dataclasses import dataclass

NO_PROVIDER = "- the archive is nobody's authorization server"
NO_WEBRTC = "- no WebRTC"
NO_SOCKETS = "- no WebSockets"
NO_GRAPH = "- no GraphQL"
NO_ISSUING = "- the archive issues no tokens with claims: its own are random references"
NO_RESOURCE = "- the archive takes no access tokens: its interface has tokens of its own"

LINES = f"""
V1.1.1 | input is decoded once, before it is checked | = test_any_bytes_are_read_without_raising test_every_unparsable_required_field_is_named_at_once
V1.1.2 | escaping happens last, where output is made | = test_what_was_written_is_never_markup
V1.2.1 | what is shown is escaped for where it stands | = test_what_was_written_is_never_markup test_stored_markup_runs_nowhere
V1.2.2 | addresses are built with their parts encoded, of safe schemes only | = test_the_log_in_sends_nobody_elsewhere
V1.2.3 | no script or JSON is put together from text | = test_no_page_has_script_or_style_inside
V1.2.4 | questions to the database carry values apart | : SQLAlchemy and psycopg with bound values; names of tables are made by sql.Identifier; ruff's rule S608
V1.2.5 | programs are started without a shell, values as arguments | = test_no_file_leads_the_decoder_to_another_file
V1.2.6 | LDAP injection | - no LDAP
V1.2.7 | XPath injection | - no XPath
V1.2.8 | LaTeX injection | - no LaTeX
V1.2.9 | text in regular expressions is escaped | : patterns are constants; ARCHIVE_CUSTOMER_PATTERN is the operator's own
V1.3.1 | foreign HTML is cleaned by a known library | = test_an_email_is_opened_for_a_purpose_and_shown_harmless
V1.3.2 | no evaluation of text as code | : none is called; ruff's rules S307 and S102 refuse it
V1.3.3 | what goes to dangerous places is cleaned first | = test_attachment_names_are_made_safe test_any_name_is_made_safe
V1.3.4 | foreign SVG is cleaned | = test_an_email_is_opened_for_a_purpose_and_shown_harmless
V1.3.5 | foreign style sheets and templates are cleaned or not run | = test_an_email_is_opened_for_a_purpose_and_shown_harmless
V1.3.6 | no request goes where foreign data says | = test_no_file_leads_the_decoder_to_the_network test_behind_the_walls_nobody_can_be_called
V1.3.7 | templates are never made of input | : templates are files of the program
V1.3.8 | JNDI | - no Java
V1.3.9 | memcache | - no memcache
V1.3.10 | format strings are not foreign | : input is never a format; messages take values by name
V1.3.11 | nothing foreign steers mail commands | : mails hold case numbers, ids and days; addresses are checked when they are stored
V1.4.1 | memory-safe handling of memory | : Python; decoders run behind walls of their own
V1.4.2 | numbers are checked for their range | = test_whatever_is_sent_with_a_token_is_answered_as_described
V1.4.3 | memory is given back, nothing used after | : Python; decoders are processes that end
V1.5.1 | XML parsers resolve nothing outside | = test_what_is_no_siprec_is_said_to_be_none test_what_is_no_cdr_is_said_to_be_none
V1.5.2 | nothing foreign is unpickled | : JSON alone; ruff's rule S301 refuses pickle
V2.1.1 | the form of each field is documented | = test_every_route_of_the_interface_is_described_and_nothing_else
V2.1.2 | which fields must agree is documented | : docs/interface.md and the description of the interface
V2.1.3 | limits are documented | = test_every_setting_is_documented_with_a_meaning
V2.2.1 | input is checked against what is expected | = test_every_unparsable_required_field_is_named_at_once test_whatever_is_sent_with_a_token_is_answered_as_described
V2.2.2 | checks are made by the server | = test_whatever_is_sent_with_a_token_is_answered_as_described
V2.2.3 | fields that belong together are checked together | = test_an_impossible_contact_time_is_replaced_by_arrival_and_kept_beside
V2.3.1 | steps cannot be left out | = test_a_complaint_handler_opens_inside_a_case_only test_with_a_second_factor_a_password_alone_opens_no_page
V2.3.2 | limits of the business hold | = test_a_correction_never_lengthens_life_beyond_arrival_plus_one_year
V2.3.3 | all of a step or nothing | = test_the_catalogue_away_is_503_with_retry_after_and_no_trace test_the_store_away_is_503_and_nothing_is_kept
V2.3.4 | nothing is taken twice by two at once | = test_two_identical_deliveries_at_once_make_one_recording test_no_code_is_taken_twice_nor_an_older_one_after_it
V2.4.1 | nobody empties the archive by machine | : people must name one customer or work in a case; each search and opening is logged. There is no limit of searches an hour
V3.2.1 | an answer is not shown as something else | = test_an_attachment_is_saved_and_never_shown
V3.2.2 | text is put on pages as text | = test_what_was_written_is_never_markup
V3.3.1 | cookies are Secure and bound by prefix | = test_behind_tls_the_cookie_is_bound_to_host_and_tls
V3.3.2 | cookies have the right SameSite | = test_the_cookie_is_out_of_reach_of_scripts
V3.3.3 | cookies have the prefix __Host- | = test_behind_tls_the_cookie_is_bound_to_host_and_tls
V3.3.4 | the session's cookie is out of reach of scripts | = test_the_cookie_is_out_of_reach_of_scripts
V3.4.1 | HSTS of a year | = test_behind_tls_the_cookie_is_bound_to_host_and_tls
V3.4.2 | CORS allows nobody or fixed origins | : no such header is ever sent
V3.4.3 | a content security policy | = test_every_page_carries_its_protection
V3.4.4 | nosniff | = test_every_page_carries_its_protection
V3.4.5 | a referrer policy | = test_every_page_carries_its_protection
V3.4.6 | frame-ancestors | = test_every_page_carries_its_protection
V3.5.1 | requests forged by other sites are refused | = test_every_form_must_carry_the_token_of_its_session test_a_form_sent_by_another_site_is_refused
V3.5.2 | no forged request without a preflight | = test_a_large_or_strange_form_is_refused_without_being_kept test_a_session_is_no_token_for_the_api_nor_a_token_a_session
V3.5.3 | what changes something is not a GET | = test_no_door_opens_by_a_method_it_does_not_name
V3.5.4 | separate applications have separate hosts | - one application
V3.5.5 | postMessage checks its origin | - postMessage is not used
V3.7.1 | no outdated browser technology | : HTML, one script for the player, no plug-in
V3.7.2 | redirects lead to no other host | = test_the_log_in_sends_nobody_elsewhere test_proving_leads_nowhere_else_and_is_throttled
V4.1.1 | content types are right, with their charset | = test_whatever_is_sent_with_a_token_is_answered_as_described
V4.1.2 | only pages are redirected to TLS | ! the proxy's part: the one of docker-compose.yml redirects everything
V4.1.3 | headers of the proxy cannot be forged | : ARCHIVE_TRUSTED_PROXIES says how many are believed, none by default
V4.2.1 | the borders of requests are unambiguous | : gunicorn with its strict parser; chunked bodies end where they say
V4.3.1 | GraphQL cost | {NO_GRAPH}
V4.3.2 | GraphQL introspection | {NO_GRAPH}
V4.4.1 | WebSockets over TLS | {NO_SOCKETS}
V4.4.2 | origin of WebSockets | {NO_SOCKETS}
V4.4.3 | tokens of WebSockets | {NO_SOCKETS}
V4.4.4 | sessions of WebSockets | {NO_SOCKETS}
V5.1.1 | which files are taken, and how large, is documented | = test_every_setting_is_documented_with_a_meaning
V5.2.1 | files too large are refused | = test_too_large_is_413_and_nothing_is_kept
V5.2.2 | a file is what it says | : on purpose nothing is refused for being malformed; what it is is measured, and it is never shown as itself
V5.2.3 | packed files are measured before they are unpacked | - nothing is unpacked
V5.3.1 | what is stored is never run | : it lies sealed in an object store
V5.3.2 | names of senders make no paths | = test_a_name_cannot_lead_elsewhere test_attachment_names_are_made_safe
V5.4.1 | the name in Content-Disposition is ours | = test_names_of_attachments_make_no_header
V5.4.2 | names served are encoded | = test_names_of_attachments_make_no_header
V5.4.3 | files are scanned for malware | ! no scanner: originals are evidence and kept byte for byte; attachments are only ever saved
V6.1.1 | how guessing is hindered is documented | : docs/operations.md, Accounts
V6.1.2 | words that passwords must not be made of are documented | : archive/accounts/passwords.py names them, with the lists of zxcvbn
V6.1.3 | all ways in are documented | : docs/operations.md, Accounts
V6.2.1 | passwords of at least 8 characters | = test_a_password_that_does_not_do_is_refused
V6.2.2 | one's password can be changed | = test_a_new_password_ends_every_other_session
V6.2.3 | changing asks for the present one | = test_a_new_password_ends_every_other_session
V6.2.4 | the commonest passwords are refused | = test_passwords_that_are_tried_first_are_refused
V6.2.5 | no rules about kinds of characters | = test_others_do_however_they_are_written
V6.2.6 | the field masks what is typed | : type=password in templates/login.html and password.html
V6.2.7 | pasting and password managers work | : nothing hinders them; autocomplete names the fields
V6.2.8 | the password is taken as it is | : neither trimmed nor changed in case
V6.2.9 | 64 characters and more do | : up to 256
V6.2.10 | passwords do not expire by themselves | : they do not
V6.2.11 | words of the place are refused | = test_passwords_that_are_tried_first_are_refused
V6.2.12 | breached passwords are refused | = test_passwords_that_are_tried_first_are_refused
V6.3.1 | guessing is hindered as documented | = test_after_five_failures_a_name_waits_whether_it_exists_or_not test_one_address_cannot_try_many_names test_codes_cannot_be_tried_out
V6.3.2 | no default account | : the first administrator comes in by a link that is told once
V6.3.3 | a second factor | = test_with_a_second_factor_a_password_alone_opens_no_page test_a_group_that_must_have_a_code_sees_nothing_before_and_everybody_commits_first
V6.3.4 | no undocumented way in, each equally strong | = test_a_session_is_no_token_for_the_api_nor_a_token_a_session test_a_login_link_does_not_pass_by_the_second_factor
V6.4.1 | links for the first log-in are random and end soon | = test_a_one_time_link_works_once test_a_one_time_link_is_over_after_half_an_hour
V6.4.2 | no questions about a pet's name | : there are none
V6.4.3 | a forgotten password does not pass by the second factor | = test_a_login_link_does_not_pass_by_the_second_factor
V6.4.4 | a lost second factor is reset after checking who asks | : by an administrator, who knows the person: docs/operations.md, Accounts; an entry of the log
V6.5.1 | codes work once | = test_no_code_is_taken_twice_nor_an_older_one_after_it test_a_recovery_code_works_once_in_any_spelling
V6.5.2 | recovery codes are long or hashed | = test_secret_and_recovery_codes_are_readable_nowhere_in_the_database
V6.5.3 | secrets come from the system's generator | : Python's secrets
V6.5.4 | recovery codes have 20 bits and more | : 120
V6.5.5 | codes end soon | = test_no_code_is_taken_twice_nor_an_older_one_after_it
V6.6.1 | codes by telephone | - none are sent by telephone
V6.6.2 | codes sent belong to their request | - none are sent
V6.6.3 | codes sent cannot be guessed | - none are sent; those of the app: test_codes_cannot_be_tried_out
V6.8.1 | identity providers cannot stand for one another | = test_a_user_of_the_provider_is_made_at_the_first_log_in_and_known_by_subject_alone
V6.8.2 | assertions are checked | = test_an_id_token_that_is_not_for_here_and_now_is_refused
V6.8.3 | SAML assertions work once | - no SAML
V6.8.4 | strength told by the provider is checked | = test_what_the_settings_call_a_second_factor_counts_as_one_and_nothing_else
V7.1.1 | how long sessions last is documented | = test_the_periods_that_are_written_down_are_those_of_the_code
V7.1.2 | how many sessions one has is documented | : any number, each listed to its person: docs/operations.md, Accounts
V7.1.3 | sessions with a provider | : docs/operations.md, Logging in with the organisation's own account
V7.2.1 | tokens are checked by the server | = test_who_logs_in_is_an_actor_with_the_groups_rights
V7.2.2 | tokens are made for the session | = test_an_opening_is_bound_to_its_session_and_ends
V7.2.3 | tokens are random enough | : 256 bits of Python's secrets
V7.2.4 | a new token at each log-in, the old one over | = test_no_session_is_fixed_before_the_log_in test_with_a_second_factor_a_password_alone_opens_no_page
V7.3.1 | sessions end when idle | = test_an_idle_session_ends_after_half_an_hour
V7.3.2 | sessions end after a day's work | = test_no_session_outlives_ten_hours
V7.4.1 | what was ended works no more | = test_who_logs_out_is_out test_logging_out_takes_the_cookie_and_what_was_kept
V7.4.2 | disabling a user ends their sessions | = test_disabling_a_user_ends_their_sessions
V7.4.3 | a changed factor ends the other sessions | = test_a_new_password_ends_every_other_session
V7.4.4 | logging out is on every page | : in the head of every page
V7.4.5 | administrators end sessions | = test_an_administrator_ends_a_users_sessions
V7.5.1 | changing what is grave asks who it is again | = test_what_is_grave_asks_for_the_password_again_and_then_goes_on
V7.5.2 | one sees and ends one's sessions | = test_sessions_are_listed_and_ended_by_their_person_and_nobody_elses
V7.6.1 | sessions with a provider end together | = test_in_a_browser_one_logs_in_proves_again_who_one_is_and_logs_out_at_both
V7.6.2 | no session without somebody's doing | : only a form or a link that was asked for begins one
V8.1.1 | who may do what is documented | = test_generated_pages_say_what_the_code_says
V8.1.2 | who may see and change which fields is documented | : docs/permissions.md; the interface's description
V8.2.1 | functions are for those with the right | = test_a_group_comes_through_its_own_doors_and_no_others test_a_token_does_what_its_scope_says_and_nothing_else
V8.2.2 | each recording is for those who may meet it | = test_what_is_not_ones_own_answers_like_what_does_not_exist
V8.2.3 | fields are for those who may see them | : holds and restrictions show to those who work with them; identity codes are masked for all
V8.3.1 | rights are checked by the server's own layer | = test_a_group_comes_through_its_own_doors_and_no_others
V8.4.1 | tenants are apart | = test_who_sees_some_companies_finds_those_alone
V9.1.1 | signed tokens are checked | = test_an_id_token_that_is_not_for_here_and_now_is_refused
V9.1.2 | algorithms are on a list | = test_an_id_token_that_is_not_for_here_and_now_is_refused
V9.1.3 | keys come from where they should | = test_a_description_leads_to_no_host_that_is_not_listed_and_to_no_other_issuer
V9.2.1 | validity is checked | = test_an_id_token_that_is_not_for_here_and_now_is_refused
V9.2.2 | the kind of token is checked | : an id token is taken from the token endpoint alone, in the answer to its own code; none comes in by another way
V9.2.3 | the audience is checked | = test_an_id_token_that_is_not_for_here_and_now_is_refused
V9.2.4 | audiences are told apart | {NO_ISSUING}
V10.1.1 | tokens go no further than needed | : no token reaches the browser, and none is kept: archive/oidc/protocol.py
V10.1.2 | answers belong to what was asked | = test_an_answer_is_taken_once_from_the_browser_that_asked_and_as_the_provider_gave_it
V10.2.1 | forged answers of the code flow | = test_an_answer_is_taken_once_from_the_browser_that_asked_and_as_the_provider_gave_it
V10.2.2 | mixed-up providers | = test_an_answer_is_taken_once_from_the_browser_that_asked_and_as_the_provider_gave_it test_a_description_leads_to_no_host_that_is_not_listed_and_to_no_other_issuer
V10.3.1 | audience of access tokens | {NO_RESOURCE}
V10.3.2 | claims decide | {NO_RESOURCE}
V10.3.3 | users are known by claims that stay | {NO_RESOURCE}
V10.3.4 | strength by claims | {NO_RESOURCE}
V10.4.1 | redirect addresses on a list | {NO_PROVIDER}
V10.4.2 | codes work once | {NO_PROVIDER}
V10.4.3 | codes end soon | {NO_PROVIDER}
V10.4.4 | grants that are needed alone | {NO_PROVIDER}
V10.4.5 | refresh tokens replayed | {NO_PROVIDER}
V10.4.6 | codes intercepted | {NO_PROVIDER}
V10.4.7 | clients that register themselves | {NO_PROVIDER}
V10.4.8 | refresh tokens end | {NO_PROVIDER}
V10.4.9 | tokens can be revoked | {NO_PROVIDER}
V10.4.10 | clients prove themselves | {NO_PROVIDER}
V10.4.11 | scopes that are needed alone | {NO_PROVIDER}
V10.5.1 | id tokens replayed | = test_an_id_token_that_is_not_for_here_and_now_is_refused test_an_answer_is_taken_once_from_the_browser_that_asked_and_as_the_provider_gave_it
V10.5.2 | users are known by sub | = test_a_user_of_the_provider_is_made_at_the_first_log_in_and_known_by_subject_alone
V10.5.3 | issuers that pose as others | = test_a_description_leads_to_no_host_that_is_not_listed_and_to_no_other_issuer
V10.5.4 | audience of id tokens | = test_an_id_token_that_is_not_for_here_and_now_is_refused
V10.5.5 | logging out from behind | - back-channel log-out is not offered: sessions end after 30 minutes unused
V10.6.1 | response modes | {NO_PROVIDER}
V10.6.2 | forced logging out | {NO_PROVIDER}
V10.7.1 | consent to each request | {NO_PROVIDER}
V10.7.2 | consent is informed | {NO_PROVIDER}
V10.7.3 | consent can be taken back | {NO_PROVIDER}
V11.1.1 | the life of keys is documented | = test_every_folder_of_keys_and_of_a_backup_has_a_period
V11.1.2 | keys and algorithms are listed | : docs/format.md, docs/architecture.md, docs/retention.md
V11.2.1 | known implementations | : the library cryptography, argon2-cffi, hashlib
V11.2.2 | algorithms can be exchanged | = test_a_key_backup_of_every_format_stays_readable
V11.2.3 | 128 bits and more | : AES-256, HMAC-SHA-256, Ed25519
V11.3.1 | no weak modes | : AES-256-GCM alone
V11.3.2 | approved ciphers | = test_the_vectors_are_what_an_implementation_from_the_specification_makes
V11.3.3 | what is encrypted is authenticated | = test_an_object_with_any_byte_changed_does_not_open
V11.4.1 | approved hash functions | : SHA-256, SHA-512; SHA-1 within HMAC for the codes of apps alone (RFC 6238)
V11.4.2 | passwords under argon2id | = test_neither_password_nor_token_nor_address_is_in_the_database
V11.4.3 | hashes long enough | : 256 bits
V11.4.4 | keys from passwords are stretched | - no key is made of a password
V11.5.1 | random values cannot be guessed | : Python's secrets and os.urandom, 256 bits; recovery codes 120
V11.6.1 | approved key generation and signatures | : X25519, Ed25519 and AES keys of the library cryptography
V12.1.1 | TLS 1.2 and 1.3 alone | ! the proxy's part: the one of docker-compose.yml has its makers' defaults, 1.2 and 1.3
V12.1.2 | recommended cipher suites | ! the proxy's part
V12.1.3 | client certificates are checked | - none are used
V12.2.1 | TLS outside | ! the proxy's part: docs/operations.md says so
V12.2.2 | certificates that are trusted | ! the proxy's part
V12.3.1 | encrypted connections in and out | = test_mail_comes_through_starttls_and_from_elsewhere_only_so test_it_reads_through_starttls
V12.3.2 | certificates of others are checked | = test_it_reads_through_starttls
V12.3.3 | encrypted between services | ! PostgreSQL and the store by their addresses: postgresql://…?sslmode=verify-full, https://; embedded, they listen to this machine alone
V12.3.4 | trusted certificates between services | ! as V12.3.3
V13.1.1 | who is talked to is documented | : docs/operations.md; ARCHIVE_EU_HOSTS lists every host outside this machine
V13.2.1 | services prove themselves to each other | = test_the_secrets_fit_together
V13.2.2 | with the least rights | = test_the_ordinary_credential_cannot_delete_and_the_eraser_can
V13.2.3 | no default credentials | = test_no_secret_has_a_value_or_a_default
V13.2.4 | hosts on a list | = test_a_description_leads_to_no_host_that_is_not_listed_and_to_no_other_issuer
V13.2.5 | the server calls nobody else | = test_only_the_proxy_reaches_outside
V13.3.1 | secrets are kept by what is made for it | = test_a_secret_may_come_from_a_file test_secrets_are_random_private_and_never_overwritten
V13.3.2 | secrets for those who need them | = test_a_root_key_that_others_may_read_is_refused_with_the_remedy
V13.4.1 | no source control on the server | : a wheel is installed
V13.4.2 | no debugging in production | : Flask's debugger is never started
V13.4.3 | no listings of folders | = test_strangers_reach_only_the_listed_pages_by_every_method
V13.4.4 | no TRACE | = test_nobody_is_answered_trace
V13.4.5 | monitoring is not for everybody | = test_public_pages_are_those_listed_and_no_more
V14.1.1 | what is sensitive is known | = test_every_column_of_words_or_bytes_is_said_to_be_personal_or_plain
V14.1.2 | how it is protected is documented | : docs/threats.md, docs/retention.md
V14.2.1 | nothing sensitive in addresses | = test_no_name_or_number_stands_in_an_address
V14.2.2 | nothing sensitive in caches between | = test_every_page_carries_its_protection
V14.2.3 | nothing goes to third parties | = test_every_page_carries_its_protection
V14.2.4 | protection as documented | = test_nothing_said_is_readable_on_disk
V14.3.1 | the browser forgets at the end | = test_logging_out_takes_the_cookie_and_what_was_kept
V14.3.2 | no-store | = test_every_page_carries_its_protection
V14.3.3 | nothing sensitive in the browser's storage | = test_every_cookie_has_a_period
V15.1.1 | when parts are renewed is documented | ! by whoever runs it; requirements.lock names every version
V15.1.2 | a list of all parts | : requirements.lock and package-lock.json, with digests
V15.1.3 | what is costly is documented | : docs/operations.md, docs/settings.md
V15.2.1 | parts are up to date | ! by whoever runs it
V15.2.2 | what is costly is bounded | = test_behind_the_walls_memory_ends test_no_email_of_a_few_megabytes_takes_long
V15.2.3 | nothing but what is needed | : tests are no part of the wheel; samples come with --demo alone
V15.3.1 | only the fields that are needed | : archive/api/shape.py names each
V15.3.2 | redirects of others are not followed | : only the store, the keepers of keys, the identity provider and mail servers are called, by the operator's addresses; none follows redirects
V15.3.3 | no field is set that was not offered | = test_search_names_what_it_does_not_understand
V15.3.4 | the address of who asks is right | : ARCHIVE_TRUSTED_PROXIES
V15.3.5 | types are checked | = test_whatever_is_sent_with_a_token_is_answered_as_described
V15.3.6 | no prototype pollution | : the scripts merge no foreign objects
V15.3.7 | a field given twice misleads nobody | : body, query and headers are read apart, the first value counts
V16.1.1 | what is logged is documented | = test_every_log_has_a_period
V16.2.1 | who, what, when | = test_each_opening_is_in_the_audit_log_before_its_first_byte
V16.2.2 | times with their offset | : timestamptz, told in UTC
V16.2.3 | logs go where it is said | = test_every_log_has_a_period
V16.2.4 | logs can be read by machines | : JSON by the interface and `archive audit list --json`
V16.2.5 | nothing sensitive in logs | = test_nothing_said_is_readable_on_disk
V16.3.1 | log-ins and failures are logged | = test_failed_log_ins_are_in_the_log_without_what_was_typed test_log_ins_and_administration_are_in_the_audit_log
V16.3.2 | refusals are logged | = test_a_refusal_is_in_the_log_with_the_door_and_nothing_that_was_asked
V16.3.3 | attempts to get round are logged | = test_a_refusal_is_in_the_log_with_the_door_and_nothing_that_was_asked
V16.3.4 | unexpected errors are logged | : by type and place: archive/app.py
V16.4.1 | nothing foreign breaks a line of a log | : logs carry codes and ids alone
V16.4.2 | logs cannot be changed | = test_a_changed_entry_is_named test_an_end_that_was_cut_off_is_named
V16.4.3 | logs are copied elsewhere | = test_heads_are_written_hourly_while_entries_come_and_daily_in_silence
V16.5.1 | errors tell nothing of the inside | = test_whatever_is_sent_with_a_token_is_answered_as_described
V16.5.2 | it goes on safely when others are away | = test_the_store_away_is_503_and_nothing_is_kept test_health_is_answered_without_the_database
V16.5.3 | errors never open anything | = test_the_catalogue_away_is_503_with_retry_after_and_no_trace
V17.1.1 | TURN addresses | {NO_WEBRTC}
V17.2.1 | DTLS keys | {NO_WEBRTC}
V17.2.2 | DTLS suites | {NO_WEBRTC}
V17.2.3 | SRTP authentication | {NO_WEBRTC}
V17.2.4 | malformed SRTP | {NO_WEBRTC}
V17.3.1 | floods of signals | {NO_WEBRTC}
V17.3.2 | malformed signals | {NO_WEBRTC}
"""  # noqa: E501 - a table


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement. `verdict` is "tests", "done", "no" or "open"; `said` the tests or why."""

    id: str
    asks: str
    verdict: str
    said: str

    @property
    def tests(self) -> tuple[str, ...]:
        """Names of the tests that show it."""
        return tuple(self.said.split()) if self.verdict == "tests" else ()


VERDICTS = {"=": "tests", ":": "done", "-": "no", "!": "open"}


def requirements() -> tuple[Requirement, ...]:
    """Every one, in the standard's order."""
    found = []
    for line in LINES.strip().splitlines():
        id, asks, said = (part.strip() for part in line.split(" | "))
        found.append(Requirement(id, asks, VERDICTS[said[0]], said[1:].strip()))
    return tuple(found)

// What the rules take out, and what they leave.
import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { parseRedaction, parseRedactionPattern, redactValue } from './redaction.ts'

const redact = (text: string, rules = 'all'): unknown =>
  redactValue(text, parseRedaction(rules), {})

describe('redaction', () => {
  it.each([
    ['Write to ann.b+c@mail.example.org.', 'Write to [email].'],
    ['имя@почта.рф', '[email]'],
    ['key sk-proj-abcdefghijklmnop1234', 'key [key]'],
    ['ghp_' + 'a1'.repeat(18), '[key]'],
    ['AKIAIOSFODNN7EXAMPLE', '[key]'],
    ['Authorization: Bearer abc.def-ghi_jkl~mno', 'Authorization: Bearer [key]'],
    ['{"password": "hunter2222", "n": 1}', '{"password": "[key]", "n": 1}'],
    [String.raw`{\"api_key\": \"abcdef123\"}`, String.raw`{\"api_key\": \"[key]\"}`],
    ['API_KEY=abcdef123', 'API_KEY=[key]'],
    ['-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nend', '[key]\nend'],
    ['-----BEGIN PRIVATE KEY-----\ncut off', '[key]'],
    ['card 4111 1111 1111 1111 please', 'card [card] please'],
    ['call +44 20 7946 0958 now', 'call [phone] now'],
    ['DB_PASSWORD=hunter2222', 'DB_PASSWORD=[key]'],
    ['aws_secret_access_key = wJalrXUtnFEMI/K7MDENG', 'aws_secret_access_key = [key]'],
    ['clientSecret: "two words here"', 'clientSecret: "[key]"'],
    ["'password' => 'ab, cd; ef'", "'password' => '[key]'"],
    ['password=ab,cdefgh;', 'password=[key];'],
    ['"refresh_token": "abcdef123456"', '"refresh_token": "[key]"'],
    ['token: 0123456789abcdef', 'token: [key]'],
    ['postgres://ada:s3cr!t@localhost:5432/db', 'postgres://ada:[key]@localhost:5432/db'],
    ['AccountKey=abcd1234EFGH+/==;', 'AccountKey=[key];'],
    ['Authorization: Basic YWRhOmxvdmVsYWNlMQ==', 'Authorization: Basic [key]'],
    ['sk_' + 'live_abcdefghijklmnop', '[key]'], // in two parts, for scanners of this file
    ['SG.' + 'abcdefghijklmnopqr.abcdefghijklmnopqrstuv', '[key]'],
    ['hooks.slack.com/services/' + 'T0000/B0000/abcdefgh1234', 'hooks.slack.com/services/[key]'],
    [
      '-----BEGIN PGP PRIVATE KEY BLOCK-----\nab\n-----END PGP PRIVATE KEY BLOCK-----\nend',
      '[key]\nend',
    ],
    ['?to=ann%40example.org&x', '?to=[email]&x'],
    [String.raw`{\"to\":\"ann\u0040example.org\"}`, String.raw`{\"to\":\"[email]\"}`],
    ['card 4111.1111.1111.1111, 4111–1111–1111–1111.', 'card [card], [card].'],
    ['ann＠example.org', '[email]'],
    ['ann@exam\u200bple.org', '[email]'],
    ['sk-proj-abcdefgh\u200bijklmnop1234', '[key]'],
    ['card ４１１１ 1111\u00a01111 1111', 'card [card]'],
  ])('of %j', (text, expected) => expect(redact(text)).toBe(expected))

  it.each([
    'a @ b, user@localhost, 3 @ 4.50',
    'The secret is that a token: word ends here', // six letters would be a password
    '4111 1111 1111 1112 and 12345678901234567890123',
    'risk-management, sk-short, 2026-11-30T12:00:00',
    'version +1.2.3',
    'tokens: 4096, token = 12, http://host:8080/a@b, https://a.org:443/@ann',
    'ﬁne print：no secret', // wide characters stay where nothing is hidden
  ])('leaves %j', (text) => expect(redact(text)).toBe(text))

  it('counts what each rule replaced, in every text of a value', () => {
    const counts = {}
    const value = { 'a@b.org': ['c@d.org', 1, null, { deep: 'sk-aaaaaaaaaaaaaaaaaaaa a@b.org' }] }
    expect(redactValue(value, parseRedaction('emails,keys'), counts)).toEqual({
      '[email]': ['[email]', 1, null, { deep: '[key] [email]' }],
    })
    expect(counts).toEqual({ emails: 3, keys: 1 })
  })

  it('takes no longer than the text is long', () => {
    const start = performance.now()
    for (const part of [
      'a',
      'a.',
      '1 ',
      'a@',
      '-----BEGIN ',
      'eyJ',
      '"',
      'password:',
      '+1 ',
      '://a:',
      'token=',
      '\u200b',
    ])
      redact(part.repeat(200_000 / part.length))
    expect(performance.now() - start).toBeLessThan(20_000)
  })

  it('knows all, none and names, and refuses others', () => {
    expect(redact('a@b.org', 'none')).toBe('a@b.org')
    expect(() => parseRedaction('email')).toThrow(/Did you mean emails\?/)
    expect(() => parseRedaction('')).toThrow(OptionError)
  })

  it('takes patterns of the operator', () => {
    const rule = parseRedactionPattern('case=C-[0-9]+')
    expect(redactValue('C-123 and C-x', [rule], {})).toBe('[case] and C-x')
    expect(() => parseRedactionPattern('C-[0-9]+')).toThrow(/expected a name and a pattern/)
    expect(() => parseRedactionPattern('case=(')).toThrow(/redact-pattern: case: /)
    expect(() => parseRedactionPattern('case=a*')).toThrow(/matches the empty text/)
  })
})

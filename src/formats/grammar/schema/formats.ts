// What JSON Schema's `format` asks of strings, as patterns that are a little narrower where the
// full rule is not a regular language.

const octet = '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])'
const date =
  '[0-9]{3}[1-9]-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))'
const clock = '([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?'
const zone = '(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])'
const label = '[a-z0-9]+(-[a-z0-9]+)*'
const host = `${label}(\\.${label})*`
const shortLabel = '[a-z][a-z0-9]{0,15}'
const path = '(/[A-Za-z0-9._~-]+)*'
const hexGroup = '[0-9a-f]{1,4}'

/**
 * Patterns of whole strings. Formats that are not listed are checked when the answer is complete.
 */
export const formatPatterns: Readonly<Record<string, string>> = {
  date,
  time: clock + zone,
  'date-time': `${date}T${clock}${zone}`,
  duration: 'P([1-9][0-9]{0,3}W|[1-9][0-9]{0,3}D(T[1-9][0-9]{0,3}[HMS])?|T[1-9][0-9]{0,3}[HMS])',
  uuid: '[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}',
  ipv4: `${octet}(\\.${octet}){3}`,
  ipv6: `${hexGroup}(:${hexGroup}){7}`,
  hostname: `${shortLabel}(\\.${shortLabel}){0,3}`,
  email: `[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+)*@${label}(\\.${label})*\\.[a-z]{2,6}`,
  uri: `https?://${host}${path}(\\?[a-z0-9=&]+)?`,
  'uri-reference': `(https?://${host})?${path}`,
  'json-pointer': '(/[A-Za-z0-9_-]*)*',
}

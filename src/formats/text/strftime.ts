// Python's strftime in English, for the dates that chat templates print. Reads no clock.

const months = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]
const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']

const padNumber = (value: number, width = 2): string => String(value).padStart(width, '0')
const computeDayOfYear = (d: Date): number =>
  Math.round(
    (Date.UTC(d.getFullYear(), d.getMonth(), d.getDate()) - Date.UTC(d.getFullYear(), 0, 1)) /
      86_400_000,
  ) + 1

const directives: Readonly<Record<string, (date: Date) => string>> = {
  Y: (d) => padNumber(d.getFullYear(), 4),
  y: (d) => padNumber(d.getFullYear() % 100),
  m: (d) => padNumber(d.getMonth() + 1),
  d: (d) => padNumber(d.getDate()),
  B: (d) => months[d.getMonth()]!,
  b: (d) => months[d.getMonth()]!.slice(0, 3),
  A: (d) => days[d.getDay()]!,
  a: (d) => days[d.getDay()]!.slice(0, 3),
  j: (d) => padNumber(computeDayOfYear(d), 3),
  H: (d) => padNumber(d.getHours()),
  I: (d) => padNumber(d.getHours() % 12 || 12),
  p: (d) => (d.getHours() < 12 ? 'AM' : 'PM'),
  M: (d) => padNumber(d.getMinutes()),
  S: (d) => padNumber(d.getSeconds()),
  '%': () => '%',
}

/**
 * The date in local time, each `%x` of `format` replaced; `%-d` without leading zeros; unknown
 * directives are kept.
 */
export function formatDate(date: Date, format: string): string {
  return format.replace(/%(-?)([a-zA-Z%])/g, (whole, dash: string, letter: string) => {
    const value = directives[letter]?.(date)
    if (value === undefined) return whole
    return dash ? value.replace(/^0+(?=\d)/, '') : value
  })
}

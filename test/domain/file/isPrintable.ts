/** Whether a terminal shows the text as it is: an own list, so that it does not repeat the code under test. */
export const isPrintable = (text: string): boolean =>
  Array.from(text).every((character) => {
    const code = character.codePointAt(0) ?? 0
    return (
      code >= 0x20 &&
      !(code >= 0x7f && code <= 0x9f) &&
      !(code >= 0xd800 && code <= 0xdfff) &&
      !(code >= 0x202a && code <= 0x202e) &&
      !(code >= 0x2066 && code <= 0x2069) &&
      ![0xad, 0x34f, 0x61c, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x200b, 0x200e, 0x200f].includes(code) &&
      ![0x2028, 0x2029, 0x2060, 0x3164, 0xfeff, 0xffa0].includes(code) &&
      !(code >= 0x180b && code <= 0x180f) &&
      !(code >= 0xfe00 && code <= 0xfe0d) &&
      !(code >= 0xe0000 && code <= 0xe0fff)
    )
  })

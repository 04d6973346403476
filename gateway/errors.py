"""Every error of Contourgate: one class for each decision of the caller.

::

    GatewayError(code, **facts)            who acts
    ├── ConfigError                        the administrator; the gateway refuses to start
    ├── IntakeError(dimse_status)          the sender, by the DIMSE status
    ├── PeerError                          we retry: unreachable, rejected, no context, aborted
    ├── PassageUnfit                       a person: the passage is held
    ├── DeidentificationError              nobody retries; the passage is held
    ├── ContourerError
    │   ├── ContourerUnavailable           we retry
    │   └── ContourerRefused               we stop
    └── StructureSetUnsound                never delivered; the passage is held

An error carries a code of `CATALOGUE` and facts. A fact is a number, a tag or a `Word`: never a value from a
patient's dataset.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from pydicom.tag import BaseTag

__all__ = [
    "CATALOGUE",
    "ConfigError",
    "ContourerError",
    "ContourerRefused",
    "ContourerUnavailable",
    "DeidentificationError",
    "Explanation",
    "Fact",
    "GatewayError",
    "IntakeError",
    "PassageUnfit",
    "PeerError",
    "StructureSetUnsound",
    "Word",
]

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.:/()-]{0,79}")


class Word(str):
    """A word from the configuration, the standard or this program, in an error or a log.

    The type marks where the text comes from: never make one from a dataset, a message of a peer or an exception.

    Raises
    ------
    ValueError
        If the text could break out of its line or is longer than 80 characters.
    """

    def __new__(cls, text: str) -> Word:
        if not _WORD.fullmatch(text):
            raise ValueError("not a word that may be logged")
        return super().__new__(cls, text)

    @classmethod
    def known(cls, text: str) -> Word | None:
        """A configured name as a word; None where it has characters that no word may have."""
        return cls(text) if _WORD.fullmatch(text) else None


Fact = int | float | BaseTag | Word
"""What an error may tell beside its code: a count, a position in mm, a tag, a configured or standard name."""


class Explanation(NamedTuple):
    """What `gateway explain CODE` prints."""

    meaning: str
    """One sentence: what happened."""
    hint: str
    """One or two sentences: what a person should do."""


class GatewayError(Exception):
    """Something that a caller has to decide about.

    Parameters
    ----------
    code : str
        A key of `CATALOGUE`.
    **facts : Fact
        Named details; a `str` that is not a `Word` is refused.
    """

    def __init__(self, code: str, **facts: Fact) -> None:
        if code not in CATALOGUE:
            raise KeyError(f"{code} is not in the catalogue of errors")
        for name, fact in facts.items():
            if not isinstance(fact, int | float | Word):  # BaseTag is an int
                raise TypeError(f"fact {name} is neither a number, a tag nor a Word")
        self.code: Final = code
        self.facts: Final = dict(facts)
        super().__init__(code)

    @property
    def meaning(self) -> str:
        """What happened, in one sentence."""
        return CATALOGUE[self.code].meaning

    @property
    def hint(self) -> str:
        """What a person should do."""
        return CATALOGUE[self.code].hint

    def __str__(self) -> str:
        told = ", ".join(f"{name.replace('_', ' ')} {fact}" for name, fact in self.facts.items())
        return f"{self.code}: {self.meaning}" + (f" ({told})" if told else "")


class ConfigError(GatewayError):
    """The configuration, a key file or the machine is not fit: the gateway does not start."""


class IntakeError(GatewayError):
    """An instance is not accepted; the sender learns it by the status.

    Parameters
    ----------
    dimse_status : int
        The C-STORE response status (PS3.4 B.2.3, PS3.7 C).
    """

    def __init__(self, code: str, dimse_status: int, **facts: Fact) -> None:
        super().__init__(code, **facts)
        self.dimse_status: Final = dimse_status


class PeerError(GatewayError):
    """A DICOM peer could not be spoken to; worth another try."""


class PassageUnfit(GatewayError):
    """The series must not leave or cannot be contoured; a person decides."""


class DeidentificationError(GatewayError):
    """The series cannot be de-identified with certainty, so it does not leave."""


class ContourerError(GatewayError):
    """The contourer did not do what was asked."""


class ContourerUnavailable(ContourerError):
    """Not now: worth another try."""


class ContourerRefused(ContourerError):
    """Not ever: trying again is useless."""


class StructureSetUnsound(GatewayError):
    """The result is not what it must be; it is never delivered."""


CATALOGUE: Final[dict[str, Explanation]] = {
    # Configuration and start
    "CONFIG_UNREADABLE": Explanation(
        "The configuration file cannot be read or is not YAML.",
        "Check the path, its permissions and the line named; `gateway check -c FILE` shows every mistake.",
    ),
    "CONFIG_INVALID": Explanation(
        "The configuration has mistakes.",
        "`gateway check -c FILE` prints each with file and line; the gateway starts when none is left.",
    ),
    "CONFIG_NOT_TAKEN_OVER": Explanation(
        "The configuration file has mistakes, so the running gateway goes on with the one before.",
        "`gateway check -c FILE` prints each with its line; then `gateway reload`. A restart would fail, too.",
    ),
    "RESTART_NEEDED": Explanation(
        "The configuration file is without a mistake, but what has changed in it goes together with keys that only a "
        "start reads; the running gateway goes on with the one before.",
        "`gateway drain`, then start the gateway again.",
    ),
    "CLINIC_KEY_UNFIT": Explanation(
        "The clinic key file is not 32 bytes, or others than its owner may read it.",
        "Restore the key from its backup and set mode 0600. Without the old key the pseudonyms of passages in "
        "flight cannot be computed again.",
    ),
    "STATE_DIR_UNFIT": Explanation(
        "The folder for the journal cannot be made or used.",
        "Check `state_dir`: it must be a folder that the gateway's account may write.",
    ),
    "LOCKDOWN_IMPOSSIBLE": Explanation(
        "The kernel or the account lacks a protection that keeps identities off the disk.",
        "Give the account what the README lists (kernel 5.13 or newer with Landlock, CAP_IPC_LOCK or an "
        "unlimited memlock limit), or add a dated waiver under `lockdown.waivers`, which every report shows.",
    ),
    "ADDRESS_UNUSABLE": Explanation(
        "The address that the gateway is to listen on is not one of this machine's, or the port is not permitted.",
        "Correct host and port; ports below 1024 need CAP_NET_BIND_SERVICE.",
    ),
    "TLS_UNFIT": Explanation(
        "A file of `dicom.tls` cannot be read, is not PEM, or key and certificate do not belong together.",
        "Check the paths, the permissions, that the key has no password, and that it is the certificate's.",
    ),
    "PORT_IN_USE": Explanation(
        "A port that the gateway is to listen on is taken.",
        "Stop the other program or choose another port in the configuration.",
    ),
    "CLERK_LOST": Explanation(
        "The process that keeps the journal does not answer.",
        "It is restarted by itself; intake waits meanwhile. If it persists, look at the disk of `state_dir`.",
    ),
    "FILE_UNREADABLE": Explanation(
        "The file cannot be read, or is no DICOM file: its preamble or file meta information is broken.",
        "Check the path and its permissions; have the image exported again as a DICOM Part 10 file.",
    ),
    "RECORD_REFUSED": Explanation(
        "The clerk refused a record, because it holds something that may not be on the disk.",
        "This is a fault of the gateway: report it. What the record was about was not written.",
    ),
    # Intake: answered to the sender
    "DATASET_UNPARSABLE": Explanation(
        "The dataset's encoding is broken: a length, a VR or a sequence does not fit its bytes.",
        "Send the instance again; if it fails again, the sender's export is damaged.",
    ),
    "DATASET_TOO_DEEP": Explanation(
        "Sequences are nested deeper than the limit.", "No CT or MR image needs this; look at the sender."
    ),
    "DATASET_TOO_MANY_ELEMENTS": Explanation(
        "The dataset has more elements than the limit.", "No CT or MR image needs this; look at the sender."
    ),
    "DATASET_TOO_LARGE": Explanation(
        "The instance is larger than the limit, or inflates beyond it.",
        "Raise `limits.instance_bytes` if this is a genuine image.",
    ),
    "ELEMENT_TWICE": Explanation(
        "An attribute stands twice, or the elements are out of order, or group 0002 is inside the dataset.",
        "The sender writes invalid DICOM; have its vendor mend it.",
    ),
    "VALUE_INVALID": Explanation(
        "An attribute that the gateway depends on has an impossible value or VR.",
        "Correct the attribute named at the sender.",
    ),
    "UID_INVALID": Explanation(
        "A UID is empty, longer than 64 characters or not digits and dots.",
        "Have the sender's vendor mend it.",
    ),
    "UID_MISMATCH": Explanation(
        "The SOP class or instance UID of the command differs from the dataset's.",
        "Have the sender's vendor mend it.",
    ),
    "MODALITY_MISMATCH": Explanation(
        "The Modality does not belong to the SOP class.", "Have the sender's vendor mend it."
    ),
    "ATTRIBUTE_MISSING": Explanation(
        "An attribute that the gateway cannot do without is absent.",
        "Have the sender include the attribute named.",
    ),
    "PIXELS_UNFIT": Explanation(
        "The pixel data does not fit Rows, Columns and the bit fields.",
        "Send the instance again; if it fails again, the sender's export is damaged.",
    ),
    "PIXELS_UNDECODABLE": Explanation(
        "The compressed pixel data cannot be decoded.",
        "Send the instance again, or uncompressed; if it fails again, the sender's export is damaged.",
    ),
    "SOP_CLASS_NOT_SUPPORTED": Explanation(
        "Only CT and MR Image Storage are taken.", "Send the images; other objects need not come here."
    ),
    "TRANSFER_SYNTAX_NOT_SUPPORTED": Explanation(
        "The transfer syntax is not taken.", "Let the sender offer Explicit VR Little Endian."
    ),
    "LOSSY_REFUSED": Explanation(
        "The image is or was lossily compressed, which the configuration does not let through.",
        "Send the original images, or set `dicom.accept_lossy: true` knowingly.",
    ),
    "NO_RULE": Explanation(
        "No rule under `rules` matches the series.",
        "Add a rule, or stop the sender from sending such series here.",
    ),
    "OUT_OF_MEMORY_BUDGET": Explanation(
        "The memory budget is full; what is in is safe.",
        "The sender will try again. If it happens often, raise `limits.memory_bytes` or look at held passages.",
    ),
    "INTAKE_PAUSED": Explanation(
        "Intake waits because the journal cannot be written.",
        "Free or mend the disk of `state_dir`; intake resumes by itself.",
    ),
    "DRAINING": Explanation(
        "The gateway is being stopped and takes nothing new.", "The sender will try again after the restart."
    ),
    # A series that must wait for a person
    "IDENTITY_CONFLICT": Explanation(
        "Two patients' identities appear in one study.",
        "Find out at the sender which images belong to whom; cancel this passage and send each study again.",
    ),
    "INSTANCE_CONFLICT": Explanation(
        "The same SOP instance UID came twice with different content.",
        "Find out at the sender which is right; cancel this passage and send the series again.",
    ),
    "NOT_IMAGES": Explanation(
        "The series holds a localizer, screen save, dose sheet, rendering or another image that is no slice.",
        "Send only the axial image series.",
    ),
    "TOO_FEW_SLICES": Explanation(
        "The series has too few slices to contour.", "Send the complete series; or cancel this passage."
    ),
    "ORIENTATION_UNSUITABLE": Explanation(
        "The slices are not axial, or the gantry was tilted.", "Send an axial series without gantry tilt."
    ),
    "ORIENTATION_MIXED": Explanation(
        "The slices do not all have the same orientation.", "Send each orientation as its own series."
    ),
    "GEOMETRY_MIXED": Explanation(
        "Rows, columns, pixel spacing or the pixel format change within the series.",
        "Send a series of one matrix and one spacing.",
    ),
    "FRAME_OF_REFERENCE_MIXED": Explanation(
        "The slices belong to more than one frame of reference.",
        "Send each frame of reference as its own series.",
    ),
    "SERIES_MIXED": Explanation(
        "The images belong to more than one series or study.", "Send each series as its own."
    ),
    "MODALITY_UNSUITABLE": Explanation(
        "The contourer contours CT and MR images only.", "Send a CT or MR series; or cancel this passage."
    ),
    "NOTHING_TO_CONTOUR": Explanation(
        "No body was found in the images.", "Look at the series: it is empty, uniform or of something else."
    ),
    "SLICE_MISSING": Explanation(
        "A slice is missing at the position named.",
        "Send the series again; the slices that are here are recognised, the missing ones join them.",
    ),
    "SLICE_TWICE": Explanation(
        "Two slices lie at the same position.", "Send only one phase or reconstruction as a series."
    ),
    "SPACING_UNEVEN": Explanation(
        "The distance between slices changes at the position named.", "Send a series of even spacing."
    ),
    "PROGRAM_FAULT": Explanation(
        "The gateway stumbled over this series: a fault of the program, at the place named. Other series go on.",
        "Tell us the place named. Meanwhile contour this series without the gateway, and cancel it here.",
    ),
    "INCOMPLETE": Explanation(
        "The sender has more instances of this series than arrived.",
        "Send the series again, or wait for the pull.",
    ),
    "MORE_ARRIVED": Explanation(
        "More slices arrived after the series was taken for whole.",
        "Nothing to do: a new passage has taken all slices over. If it happens often, raise `passage.quiet_time_s`.",
    ),
    "DEADLINE_PASSED": Explanation(
        "The passage did not reach the TPS within `passage.deadline_s`.",
        "Look at its state: it waits for the contourer, for a destination or for a person.",
    ),
    "RECEIPT_MISSING": Explanation(
        "The contourer has not proved within 24 hours of the key's release that it deleted the images.",
        "Ask the contourer's operator for the deletion of the passage named. It is asked for again by itself.",
    ),
    "JOURNAL_DAMAGED": Explanation(
        "The journal was cut, edited or replaced; what it lost was taken from the ledger.",
        "Look who can write in `state_dir`, and at the disk. The file as it was is beside it as `journal.damaged`.",
    ),
    "LEDGER_DAMAGED": Explanation(
        "The audit ledger was cut, edited or replaced.",
        "`gateway ledger verify` says where. Look who can write in `state_dir`, and restore the ledger's copy.",
    ),
    "DELIVERY_LATE": Explanation(
        "A destination has not taken a structure set for longer than ten minutes.",
        "Look at the destination named; delivery is tried again by itself.",
    ),
    "CERTIFICATE_ENDS": Explanation(
        "A certificate or revocation list ends soon, has ended, or cannot be read.",
        "Put a renewed file in its place. The DICOM port takes it up by itself, without a restart.",
    ),
    "CLOCK_JUMPED": Explanation(
        "The machine's clock was set; no deadline was moved by it.",
        "Look at the machine's time service (NTP). Times in the ledger before and after do not compare.",
    ),
    "ALARM_NOT_TOLD": Explanation(
        "The address under `alarm.webhook_url` does not take an alarm.",
        "Check the address and its server; the console and the metrics show the same alarm.",
    ),
    "SEND_AGAIN": Explanation(
        "The gateway restarted and no PACS has returned these images yet.",
        "Send the series again from the sender named.",
    ),
    "REVIEW_WANTED": Explanation(
        "The contours wait for a person's look before they are delivered.",
        "Look at them on the console; release the passage to deliver them, or cancel it to reject them.",
    ),
    "NOT_HELD": Explanation(
        "The passage does not wait for a person.",
        "Only a held passage can be released or cancelled; look again.",
    ),
    "DEID_NOT_UNDERSTOOD": Explanation(
        "An element could not be understood with certainty, so nothing of the series leaves.",
        "Have the sender mend the attribute named, or send a copy exported again by the PACS.",
    ),
    "DEID_IDENTIFIER_FOUND": Explanation(
        "The tripwire found an identifier of the patient in what was about to leave; nothing left.",
        "The tag named carries it. Correct it at the source; tell us, because the profile should have stopped it.",
    ),
    "DEID_BURNED_IN": Explanation(
        "Text was found in the pixels, or the image is declared to carry some.",
        "Look at the masked picture. Send the series without annotations.",
    ),
    "DEID_PIXELS_UNREAD": Explanation(
        "Text could not be looked for in the pixels, because the process that reads them failed twice.",
        "Release the passage: it is read again. If it fails again, look at the machine's memory and load.",
    ),
    "DEID_PROFILE_DISHONEST": Explanation(
        "A profile keeps what PS3.15 removes without declaring the option that allows it.",
        "Remove the attribute from the profile or declare the option.",
    ),
    # Peers
    "PEER_UNREACHABLE": Explanation(
        "The peer does not answer at its address.", "Check host, port, firewall, and that the peer runs."
    ),
    "PEER_REJECTED": Explanation(
        "The peer rejected the association.",
        "Check both AE titles as the peer has them configured; most peers must know ours.",
    ),
    "PEER_NO_CONTEXT": Explanation(
        "The peer takes no RT Structure Sets.", "Enable RT Structure Set Storage at the peer."
    ),
    "PEER_ABORTED": Explanation("The association broke or timed out.", "It is tried again by itself."),
    "PEER_STATUS": Explanation(
        "The peer answered a request with a failure.",
        "Look up the status at the peer's log; it is tried again.",
    ),
    "DELIVERY_REFUSED": Explanation(
        "The destination refuses the structure set itself, again and again.",
        "Look up the status named at the destination's log; often the patient or the images are not there yet. "
        "Then release the passage: the same object is sent again.",
    ),
    "DELIVERY_UNCONFIRMED": Explanation(
        "The destination accepted the structure set but says that it has none when asked.",
        "Look for it there. If it is there, its query service does not show structure sets: set `confirm: false` for "
        "this destination and release the passage.",
    ),
    # Contourer
    "CONTOURER_UNREACHABLE": Explanation(
        "The contourer does not answer.",
        "Check `contourer.url` and the uplink; it is tried again by itself. One that closes without an answer may not "
        "know the gateway's client certificate.",
    ),
    "CONTOURER_UNTRUSTED": Explanation(
        "The contourer's certificate or key is not the pinned one.",
        "Do not override this. Ask the contourer's operator whether the key was changed and compare fingerprints.",
    ),
    "CONTOURER_BUSY": Explanation("The contourer asks us to wait.", "It is tried again by itself."),
    "CONTOURER_FAILED": Explanation(
        "The contourer could not contour the series.",
        "Its reason code is named; release the passage to try again.",
    ),
    "CONTOURER_REFUSED": Explanation(
        "The contourer refuses the request.", "Its reason code is named; correct it and release the passage."
    ),
    "CONTOURER_LOST": Explanation(
        "The contourer no longer has the passage, and the gateway no longer has the slices to send them again.",
        "Send the series again.",
    ),
    "CONTOURER_KEYS_UNFIT": Explanation(
        "The key file of our own contourer cannot be used.",
        "Check the folder given by `--state`; the file must be of mode 0600 and made for the same region. With new "
        "keys every clinic has to pin the new identity.",
    ),
    "CONTOURER_FOUND_IDENTIFIERS": Explanation(
        "The contourer says it found identifying data and deleted it.",
        "Treat this as a possible breach: look at the record and the profile before anything else is sent.",
    ),
    "CONTOURER_REGION": Explanation(
        "The contourer is not in the configured region.",
        "Correct `contourer.region` or choose another contourer.",
    ),
    "RESULT_UNSEALABLE": Explanation(
        "The result was not sealed for this passage, or was altered.",
        "Nothing was delivered. Ask the contourer's operator.",
    ),
    "RECEIPT_INVALID": Explanation(
        "The deletion receipt is missing or its signature is wrong.", "Ask the contourer's operator."
    ),
    # Structure set
    "RESULT_UNPARSABLE": Explanation(
        "The result is not a readable RT Structure Set.", "Ask the contourer's operator."
    ),
    "RESULT_FOREIGN_UID": Explanation(
        "The structure set refers to something that is not of this passage.",
        "It was not delivered. Ask the contourer's operator; do not release it.",
    ),
    "RESULT_WRONG_STUDY": Explanation(
        "The structure set belongs to another study, series or frame of reference.",
        "It was not delivered. Ask the contourer's operator; do not release it.",
    ),
    "RESULT_OFF_SLICE": Explanation(
        "A contour does not lie on the slice it refers to, or lies outside the images.",
        "It was not delivered. Ask the contourer's operator.",
    ),
    "RESULT_INCONSISTENT": Explanation(
        "ROIs, observations and contours of the structure set do not match each other.",
        "It was not delivered. Ask the contourer's operator.",
    ),
    "RESULT_NOT_CONTOURS": Explanation(
        "The result holds something other than contours.",
        "It was not delivered. Ask the contourer's operator.",
    ),
    "RESULT_PSEUDONYM_LEFT": Explanation(
        "A pseudonym was left in the restored structure set; it was not delivered.",
        "This is a fault of the gateway: keep the passage and report the tag named.",
    ),
}
"""Every code: what it means and what to do."""
